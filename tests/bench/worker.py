"""One worker of the sending benchmark: `python -m tests.bench.worker CAMPAIGN MAILS LANE`, then a line on standard input.

Takes turns until the campaign has sent so many, and reports on standard error: seconds, CPU seconds, memory in KB.
"""

import os
import sys
import time
from pathlib import Path


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "outreach.settings"
    import django

    django.setup()
    from campaigns.models import Campaign
    from notifications import transports
    from outreach import garbage

    campaign_id, mails, lane = map(int, sys.argv[1:])
    campaign, transport = Campaign.objects.get(pk=campaign_id), transports.configured()
    if os.environ.get("BENCH_ONE_BY_ONE"):
        # The same transport, of which no two mails share a call.
        transport.__class__ = type("OneByOne", (type(transport),), {"most_together": 1})
    garbage.collect_seldom()
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    while campaign.sends.filter(sent_at__isnull=True).exists() and goes_on(campaign, lane, transport):
        if campaign.sends.filter(sent_at__isnull=False).count() >= mails:
            break
    used = time.process_time() - cpu
    print(time.perf_counter() - began, used, most_memory(), file=sys.stderr)


def most_memory():
    """KB at the highest; `ru_maxrss` would begin with what the parent once had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def goes_on(campaign, lane, transport):
    """Whether there is a turn after this one. The campaign's own loop would be woken, but there is nobody here who wakes it."""
    more = take_turn(campaign, lane, transport)
    if more or lane:
        return more
    campaign.refresh_from_db()
    time.sleep(0.01)
    return campaign.status == "sending"


def take_turn(campaign, lane, transport):
    from django.utils import timezone

    from campaigns import dispatching
    from campaigns.models import CampaignLane

    if lane:
        row, _ = CampaignLane.objects.get_or_create(campaign=campaign, number=lane)
        generation = row.generation
    else:
        campaign.refresh_from_db()
        generation = campaign.generation
    return dispatching.send_chunk(campaign.pk, generation, transport=transport, clock=timezone.now, lane=lane).more


if __name__ == "__main__":
    main()
