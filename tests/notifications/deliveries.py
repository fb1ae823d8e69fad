"""What tests of deliveries share."""

from notifications import delivering
from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome


class FakeLedger:
    """Keeps the rows in memory; `allowed` says which may start."""

    def __init__(self, allowed=None):
        self.allowed = allowed
        self.started: list[int] = []
        self.outcomes: dict[int, Outcome] = {}

    def start(self, ids):
        may = [id_ for id_ in ids if self.allowed is None or id_ in self.allowed]
        self.started += may
        return set(may)

    def give_sign_of_life(self):
        pass

    def record(self, settled):
        self.outcomes |= {one.id: one.outcome for one in settled}


def message(to="a@example.com"):
    return OutgoingMessage(to=to, from_email="b@example.com", subject="s", html="h", text="t")


def mails(count):
    return [delivering.Mail(i, lambda i=i: message(f"p{i}@example.com")) for i in range(count)]
