"""Gathers the evidence of a run and has the oracles judge it."""

from tests.chaos import ledger, oracles
from tests.chaos.oracles import Evidence, Row

_ROWS = """
SELECT s.id, c.key || '-' || s.id, s.email, s.status, s.sent_at IS NOT NULL, s.message_id,
       extract(epoch FROM s.call_started_at)::float8, s.error
  FROM email_sends s JOIN email_campaigns c ON c.id = s.campaign_id WHERE s.campaign_id = %s
"""
# Moments of arrival shiver on a busy machine; the exact pace has a run of its own.
PACE_TOLERANCE = 1.5
# A pause stops the calls within a second; the rest is for a machine whose cores are all busy.
A_PAUSE_TAKES = 3.0  # seconds


def evidence(campaign, watcher=None, *, most_a_second=None, a_pause_takes=A_PAUSE_TAKES) -> Evidence:
    """What is known about one campaign; `a_pause_takes` so many seconds at most until the last call."""
    site = campaign.site
    everybodys = ledger.read(site.ledger)
    return Evidence(
        entries=[entry for entry in everybodys if entry.campaign == campaign.id],
        everybodys=everybodys,
        rows=[Row(*row) for row in site.rows(_ROWS, campaign.id)],
        people=campaign.people,
        enrolled=site.rows("SELECT enrolled FROM email_campaigns WHERE id = %s", campaign.id)[0][0],
        flying=set(site.flying),
        nos=campaign.nos,
        pauses=campaign.pauses,
        a_pause_takes=a_pause_takes,
        most_a_second=site.rate * PACE_TOLERANCE if most_a_second is None else most_a_second,
        unbalanced=watcher.unbalanced if watcher else (),
        failures=watcher.failures if watcher else (),
        outages=list(site.outages),
    )


def assert_good(campaign, watcher=None, **limits) -> Evidence:
    """Fail with what each oracle found, five examples of each."""
    seen = evidence(campaign, watcher, **limits)
    wrong = {name: (len(found), found[:5]) for name, found in oracles.broken(seen).items()}
    assert not wrong, f"{wrong}\n{campaign.statuses()}\n{campaign.site.last_words()}"
    return seen
