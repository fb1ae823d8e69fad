"""Campaigns of a run: who is in them, and somebody who looks at their account all the time."""

import math
import threading
import time
from collections import Counter
from itertools import count

LEDGER = ("waiting", "in_flight", "sent", "failed", "unknown", "skipped")
_numbers = count(1)
_WORDS = {
    "name": "Chaos",
    "subject": "Hello {{ first_name }}",
    "body_html": "<p>Hello {{ first_name }}</p>",
    "from_email": "hello@example.com",
}


class Campaign:
    """One campaign to new people of its own.

    `nos` says when each address that said no was answered, `pauses` when each pause was, and when it was asked to go on.
    """

    def __init__(self, site, people):
        self.site = site
        self.group = f"group{next(_numbers)}"
        self.people = [f"{self.group}.{n}@example.com" for n in range(people)]
        self.nos: dict[str, float] = {}
        self.pauses: list[tuple[float, float]] = []
        self.began = time.time()
        rows = "".join(f"{email},Person,{self.group}\n" for email in self.people)
        imported = self._insist("POST", "/api/prospects/import", f"email,first_name,tags\n{rows}".encode(), "text/csv")
        assert imported["created"] == people, imported
        self.id = self._insist("POST", "/api/campaigns", _WORDS | {"audience": {"include_tags": [self.group]}})["id"]

    def _insist(self, method, path, body, content_type="application/json"):
        status, answer = self.site.call(method, path, body, content_type=content_type)
        assert 200 <= status < 300, (status, answer)
        return answer

    def send(self):
        """Start it; returns the status of the answer and the seconds that it took."""
        if self.pauses and self.pauses[-1][1] == math.inf:
            self.pauses[-1] = (self.pauses[-1][0], time.time())
        began = time.monotonic()
        status, _ = self.site.call("POST", "/api/campaigns/send", {"campaignId": self.id})
        return status, time.monotonic() - began

    def pause(self):
        """Pause it; returns the status of the answer."""
        status, _ = self.site.call("PATCH", f"/api/campaigns/{self.id}", {"status": "paused"})
        if status == 200:
            self.pauses.append((time.time(), math.inf))
        return status

    def look(self):
        """The campaign and its stats; nothing when the API cannot tell now."""
        # Whoever waits here starts nothing again meanwhile, perhaps not even the web process that is asked.
        status, body = self.site.call("GET", f"/api/campaigns/{self.id}", timeout=1.0)
        return (body["campaign"], body["stats"]) if status == 200 else ({}, {})

    def sent(self):
        return self.look()[1].get("sent", 0)

    def is_done(self):
        return self.look()[0].get("status") == "sent"

    def finish(self, seconds=120):
        """Wait until it says that it is sent."""
        self.site.until(self.is_done, seconds, f"campaign {self.id} is sent")

    def finish_resumed(self, seconds=180):
        """The same, when SES is so silent, or so long away, that it pauses itself: a person looks, and resumes it."""
        self.site.until(self._resumed_until_done, seconds, f"campaign {self.id} is sent, resumed again and again")

    def _resumed_until_done(self):
        seen = self.look()[0]
        if seen.get("status") == "paused":
            assert seen["pause_reason"].startswith(("SES did not answer", "SES could not be reached")), seen
            self.send()
        return seen.get("status") == "sent"

    def unsubscribe(self, email):
        """One click; from the answer on nothing may be started for this address."""
        rows = self.site.rows("SELECT unsubscribe_token FROM prospects WHERE email = %s", email)
        path, form = f"/api/unsubscribe?token={rows[0][0]}", "application/x-www-form-urlencoded"
        status, _ = self.site.call("POST", path, b"List-Unsubscribe=One-Click", content_type=form)
        if status == 200:
            self.nos[email] = time.time()

    def statuses(self):
        sql = "SELECT status, count(*) FROM email_sends WHERE campaign_id = %s GROUP BY 1"
        return Counter(dict(self.site.rows(sql, self.id)))


def finish_all(campaigns):
    for campaign in campaigns:
        campaign.finish()


_UNDER_WAY = """
SELECT count(DISTINCT c.id), count(s.id) FILTER (WHERE s.status = 'queued'),
       coalesce(bool_or(c.enrolled_through IS NOT NULL), false)
  FROM email_campaigns c LEFT JOIN email_sends s ON s.campaign_id = c.id WHERE c.status = 'sending'
"""


def mail_will_flow(site, *, campaigns, mails):
    """Whether so many campaigns are sending, with so many mails that still wait, or people who are still to be planned.

    Some may only wait for the leases of the dead. Not asked of the web process: one that is slow to answer would count
    as a campaign under way.
    """
    sending, waiting, enrolling = site.rows(_UNDER_WAY)[0]
    return sending >= campaigns and (waiting >= mails or enrolling)


class Watcher:
    """Reads the account of every campaign through the API until it is sent, again and again, from a thread of its own."""

    def __init__(self, site, campaigns, *, every=0.5):
        self.site, self.campaigns, self.every = site, campaigns, every
        self.sent: set[int] = set()
        self.samples = 0
        self.unbalanced: list[dict] = []
        self.failures: list[tuple[float, float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)

    def _watch(self):
        while not self._stop.wait(self.every):
            for campaign in [campaign for campaign in self.campaigns if campaign.id not in self.sent]:
                began = time.time()
                status, body = self.site.call("GET", f"/api/campaigns/{campaign.id}")
                if status == 200:
                    self._check(body["stats"])
                    if body["campaign"]["status"] == "sent":
                        self.sent.add(campaign.id)
                elif status >= 500:
                    self.failures.append((began, time.time(), status))

    def _check(self, stats):
        self.samples += 1
        if stats["planned"] != sum(stats[name] for name in LEDGER):
            self.unbalanced.append(stats)
