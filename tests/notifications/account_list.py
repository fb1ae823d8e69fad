"""SES' list of an account, and ours beside it."""

from datetime import timedelta

from django.utils import timezone

from notifications import suppressing
from notifications.models import Suppression
from notifications.transports.ses_suppressions import Listed, ListUnavailable
from tests.factories import SuppressionFactory


class AccountList:
    """A list of an account, in memory."""

    def __init__(self, *listed, page=2):
        self.listed = {one.address: one for one in listed}
        self.page, self.puts, self.deleted, self.fail_at = page, [], [], None

    def pages(self):
        rows = list(self.listed.values())
        for at in range(0, max(1, len(rows)), self.page):
            yield rows[at : at + self.page]

    def put(self, address, reason):
        if len(self.puts) == self.fail_at:
            raise ListUnavailable("throttled")
        self.puts.append((address, reason))
        self.listed[address] = Listed(address, reason, timezone.now())

    def delete(self, address):
        self.deleted.append(address)
        return self.listed.pop(address, None) is not None


def listed(address, reason="BOUNCE", days_ago=1):
    return Listed(address, reason, timezone.now() - timedelta(days=days_ago))


def reasons():
    return dict(Suppression.objects.values_list("email", "reason"))


def lift(email, now, reason="bounce"):
    suppressing.lift(SuppressionFactory(email=email, reason=reason), by="anna", why="a new mailbox", now=now)
