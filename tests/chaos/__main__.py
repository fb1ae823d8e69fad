"""`make chaos`: the long run. Kills by the hundred over several seeds, every named point, every outage, the exact pace.

`python -m tests.chaos kills|points|decisions|outages|pace` runs one part; without a word all of them. Prints what was
done, what the oracles found, and ends with 1 when one of them found anything.
"""

import argparse
import random
import signal
import sys
import time
import traceback
from collections import Counter
from functools import partial

from notifications import pacing
from tests.chaos import ledger, oracles
from tests.chaos import site as sites
from tests.chaos.campaigns import Campaign, Watcher, mail_will_flow
from tests.chaos.judging import evidence
from tests.chaos.sabotage_points import POINTS
from tests.chaos.scenarios import (
    flush_redis,
    frozen,
    kill_at,
    kill_somebody,
    kill_while_mail_flows,
    redis_away,
    replay_tasks,
    ses_away,
    tasks_published,
    wait_for_mail,
)

_AT_ONCE = 4
# Single calls of several campaigns; and one campaign by bulk calls, in three lanes: a kill hits hundreds of mails at once.
_SINGLES = {"rate": 200, "campaigns": 4, "people": 400}
_BULK = {"rate": 2500, "campaigns": 1, "people": 5000}


class Tally:
    """What all runs together came to."""

    def __init__(self):
        self.numbers = Counter()
        self.broken = Counter()
        self.unfinished = []
        self.slowest_end = 0.0
        self.began = time.monotonic()

    def add(self, campaign, watcher, **limits):
        seen = evidence(campaign, watcher, **limits)
        statuses = Counter(row.status for row in seen.rows)
        self.numbers.update({"campaigns": 1, "recipients": len(seen.rows), "accepted": sum(e.accepted for e in seen.entries)})
        self.numbers.update({name: statuses[name] for name in ("unknown", "failed", "skipped")})
        for name, wrong in oracles.broken(seen).items():
            self.broken[name] += len(wrong)
            say(f"  {name}: {wrong[:5]}")

    def attempt(self, name, run):
        """One part; when it breaks off, what the others found is told all the same."""
        try:
            run()
        except Exception:
            self.unfinished.append(name)
            traceback.print_exc()

    def report(self):
        say("\noracle                   violations")
        for oracle in oracles.ALL:
            say(f"{oracle.__name__:24} {self.broken[oracle.__name__]:10}")
        say("")
        for name, number in self.numbers.items():
            say(f"{name:24} {number:10}")
        say(f"{'slowest end, s':24} {self.slowest_end:10.1f}")
        say(f"{'minutes':24} {(time.monotonic() - self.began) / 60:10.1f}")
        for name in self.unfinished:
            say(f"{name} broke off: see above")
        return 1 if self.broken or self.unfinished else 0


def say(line):
    print(line, flush=True)


def end_all(site, campaigns, tally, *, end=Campaign.finish):
    """Wait for the end of every campaign; how long the last of them took counts."""
    began = time.monotonic()
    for campaign in campaigns:
        end(campaign, 300)
    tally.slowest_end = max(tally.slowest_end, time.monotonic() - began)
    tally.numbers["kills"] += site.kills
    site.kills = 0


def keep_sending(site, campaigns, *, people, at_once=_AT_ONCE):
    """Have some campaigns under way at any time."""
    while not mail_will_flow(site, campaigns=at_once, mails=people):
        campaigns.append(Campaign(site, people))
        start(site, campaigns[-1])


def start(site, campaign):
    """Ask until it is taken: who answers may be killed meanwhile, and is started again only while nobody waits for it."""

    def is_taken():
        return site.call("GET", "/healthz", timeout=1)[0] == 200 and campaign.send()[0] == 202

    site.until(is_taken, 60, "the campaign is taken")


def run_kills(tally, *, kills, seed, seeds):
    """Random kills, a site of its own for every seed; every other one sends by bulk calls."""
    for number in range(seed, seed + seeds):
        rng, kind = random.Random(number), _BULK if number % 2 == 0 else _SINGLES
        with sites.running(rate=kind["rate"]) as site:
            campaigns = []
            with Watcher(site, campaigns, every=1.0) as watcher:
                for _ in range(kills // seeds):
                    site.until(lambda: site.call("GET", "/healthz", timeout=1)[0] == 200, 60, "web answers")
                    keep_sending(site, campaigns, people=kind["people"], at_once=kind["campaigns"])
                    kill_while_mail_flows(site, rng, kills=1, is_over=lambda: False, longest_pause=0.5)
                say(f"seed {number}: {site.kills} kills in {len(campaigns)} campaigns at {kind['rate']}/s")
                end_all(site, campaigns, tally)
            for campaign in campaigns:
                tally.add(campaign, watcher)


def run_points(tally, *, rounds):
    """Every named point, again and again, of one process or of the whole group."""
    with sites.running() as site:
        campaigns = []
        with Watcher(site, campaigns, every=1.0) as watcher:
            for number in range(rounds):
                for point in POINTS:
                    keep_sending(site, campaigns, people=150)
                    campaigns.append(Campaign(site, 150))
                    # Only with a campaign that starts somebody comes to the points of enrolment.
                    fresh = partial(start, site, campaigns[-1])
                    kill_at(site, point, scope="group" if number % 4 == 3 else "process", seconds=120, meanwhile=fresh)
            say(f"points: {site.kills} kills at {len(POINTS)} points")
            end_all(site, campaigns, tally)
        for campaign in campaigns:
            tally.add(campaign, watcher)


def run_decisions(tally, *, pauses, rng):
    """Pauses, and people who say no, all along: a second after the answer nothing is called any more.

    By turns at full pace, with a kill now and then, and so slowly that claimed people wait for seconds.
    """
    with sites.running() as site:
        campaigns = []
        with Watcher(site, campaigns, every=1.0) as watcher:
            for number in range(pauses):
                is_slow = number % 2
                site.slow_down(0.1 if is_slow else 1.0)
                if not campaigns or campaigns[-1].is_done():
                    campaigns.append(Campaign(site, 3000))
                campaign = campaigns[-1]
                start(site, campaign)
                wait_for_mail(site, campaign.is_done)
                say_no_in_turn(campaign, rng)
                site.pass_time(rng.uniform(0.0, 0.5))
                if number % 8 == 0:
                    kill_somebody(site, rng)
                site.until(partial(is_paused, campaign, watcher), 60, "the campaign is paused")
                site.pass_time(rng.choice((0.0, rng.uniform(1.0, 2.5))))
            say(f"decisions: {pauses} pauses, {sum(len(campaign.nos) for campaign in campaigns)} people who said no")
            site.slow_down(1.0)
            start(site, campaigns[-1])
            end_all(site, campaigns, tally)
        for campaign in campaigns:
            tally.add(campaign, watcher, a_pause_takes=1.0)


def say_no_in_turn(campaign, rng):
    """People whose turn it is about now say no: some are claimed already."""
    near = campaign.people[campaign.sent() :][:80]
    for email in rng.sample(near, min(5, len(near))):
        campaign.unsubscribe(email)


def is_paused(campaign, watcher):
    """Pause it; true when it is, or is sent already. Whoever answers may have been killed: then nobody answers."""
    began = time.time()
    status = campaign.pause()
    if status >= 500:
        watcher.failures.append((began, time.time(), status))
    return status in {200, 409}


def run_outages(tally, *, freeze, rng, only=()):
    """One outage after the other, each with kills around it."""
    with sites.running(workers=3) as site:
        outages = {
            "PostgreSQL, fast": lambda: site.restart_postgres(signal.SIGINT),
            "PostgreSQL, immediate": lambda: site.restart_postgres(signal.SIGQUIT),
            "all sessions cut off": lambda: [(site.terminate_backends(), site.pass_time(2)) for _ in range(10)],
            "Redis killed": lambda: away(site, redis_away(site), 10),
            "Redis flushed": lambda: flush_redis(site, times=6, every=5),
            "Redis frozen": lambda: away(site, frozen(site.redis.pid), freeze),
            "a hundred copies": lambda: copies(site),
            "three beats": lambda: more_beats(site),
            "a worker frozen": lambda: freeze_worker(site),
            "the clock steps": lambda: step_clock(site),
            "SES away": lambda: away(site, ses_away(site), 20),
            "SES away until all have paused": lambda: until_all_have_paused(site, campaigns),
        }
        for name, outage in outages.items():
            if only and name not in only:
                continue
            campaigns = []
            with Watcher(site, campaigns, every=0.5) as watcher:
                keep_sending(site, campaigns, people=600)
                wait_for_mail(site)
                began = time.monotonic()
                outage()
                kill_somebody(site, rng)
                end_all(site, campaigns, tally, end=Campaign.finish_resumed if name.startswith("SES") else Campaign.finish)
                say(f"{name}: over after {time.monotonic() - began:.0f} s")
            for campaign in campaigns:
                tally.add(campaign, watcher)


def away(site, outage, seconds):
    with outage:
        site.pass_time(seconds)


def until_all_have_paused(site, campaigns):
    """Ten tries in a row, five seconds apart, and nobody is lost."""
    with ses_away(site):
        site.until(
            lambda: all(campaign.look()[0].get("status") in {"paused", "sent"} for campaign in campaigns), 180, "all paused"
        )
        site.pass_time(5)


def copies(site):
    """Each costs a turn of Celery's rate limit, 5/s a worker, and the good ticket stands in line with the void ones."""
    before = len(tasks_published(site))
    site.wish("copies", 100)
    site.pass_time(1)
    site.unwish("copies")
    replay_tasks(site, times=3, but=before)


def more_beats(site):
    for name in ("beat2", "beat3"):
        if name not in site.programs:
            site.add(name, site.programs["beat1"].command)
    site.pass_time(10)


def freeze_worker(site):
    site.programs["worker1"].signal_group(signal.SIGSTOP)
    site.pass_time(0.5)
    site.note_flying()
    site.pass_time(80 / site.haste + 5)
    site.programs["worker1"].signal_group(signal.SIGCONT)


def step_clock(site):
    for wrong_by in (3600, -3600, 0):
        site.wish("clock", wrong_by)
        site.pass_time(5)


def run_pace(tally, *, seconds, rate, workers):
    """The product as it is, with so many workers: the mean of its slots within 1 %, no sliding second above the rate plus one."""
    with sites.running(rate=rate, haste=1, workers=workers) as site:
        campaign = Campaign(site, int(seconds * rate))
        with Watcher(site, [campaign], every=1.0) as watcher:
            campaign.send()
            campaign.finish(seconds * 1.2 + 120)
        tally.add(campaign, watcher, most_a_second=rate + 1)
        entries = evidence(campaign).entries
        mean, busiest = ledger.mean_rate(entries), ledger.busiest_second(entries)
        say(f"pace: {len(entries)} mails, {mean:.4f}/s on average, {busiest} in the busiest sliding second")
        if abs(mean * pacing.slot_interval(rate) - 1) > 0.01:
            tally.broken["pace_is_kept"] += 1


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("kills", "points", "decisions", "outages", "pace"))
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="of all named points")
    parser.add_argument("--pauses", type=int, default=200)
    parser.add_argument("--freeze", type=float, default=60, help="seconds that Redis is frozen")
    parser.add_argument("--outage", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--seconds", type=float, default=600, help="of the exact pace")
    parser.add_argument("--rate", type=int, default=5, help="mails a second of the exact pace")
    parser.add_argument("--workers", type=int, default=4, help="of the exact pace, two processes each")
    asked = parser.parse_args()
    tally = Tally()
    parts = {
        "kills": partial(run_kills, kills=asked.kills, seed=asked.seed, seeds=min(asked.seeds, asked.kills)),
        "points": partial(run_points, rounds=asked.rounds),
        "decisions": partial(run_decisions, pauses=asked.pauses, rng=random.Random(asked.seed)),
        "outages": partial(run_outages, freeze=asked.freeze, rng=random.Random(asked.seed), only=asked.outage),
        "pace": partial(run_pace, seconds=asked.seconds, rate=asked.rate, workers=asked.workers),
    }
    for name, run in parts.items():
        if asked.part in {None, name}:
            tally.attempt(name, partial(run, tally))
    sys.exit(tally.report())


if __name__ == "__main__":
    main()
