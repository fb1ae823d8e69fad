"""One simulated SES: account, suppression list, ledger, faults, and the events that follow."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notifications.simulator import accepting, fates, faults
from notifications.simulator.accepting import Rules
from notifications.simulator.account import SIMULATOR_DOMAIN, Account
from notifications.simulator.fates import News, Rates
from notifications.simulator.faults import Faults
from notifications.simulator.ledger import Ledger
from notifications.simulator.mails import Mail
from notifications.simulator.publishing import Publisher, Target
from notifications.simulator.refusing import Refusal
from notifications.simulator.suppression import SuppressionList

_HARD = {"Permanent/General": "BOUNCE", "Permanent/NoEmail": "BOUNCE"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one simulator is set up. `speed` divides every wait; `link` is what people click, else the mail's first link."""

    rules: Rules = field(default_factory=Rules)
    rates: Rates = field(default_factory=Rates)
    faults: Faults = field(default_factory=Faults)
    targets: Sequence[Target] = ()
    seed: int = 0
    speed: float = 1.0
    link: str = ""
    ledger_size: int = 100_000
    ledger_file: Path | None = None


class Simulation:
    """What the HTTP routes talk to. Everything here runs in one event loop and never waits."""

    def __init__(self, options: Options, *, say: Callable[[str], None]) -> None:
        self.options = options
        self.faults = options.faults
        self.account = Account(sandbox=options.rules.sandbox)
        self.suppression = SuppressionList()
        self.ledger = Ledger(most=options.ledger_size, file=options.ledger_file)
        self.dice = random.Random(options.seed)  # noqa: S311 (made-up faults)
        self.publisher = Publisher(
            options.targets,
            region=options.rules.region,
            speed=options.speed,
            dice=self.dice,
            say=say,
        )

    def send(self, body: Any) -> dict[str, Any]:
        """SendEmail. Raises Refusal; in the ledger before it returns."""
        self._check_account()
        mail = accepting.read_mail(body, self.options.rules)
        self.account.admit(mail.recipients, self.faults)
        self._accept([mail])
        return {"MessageId": mail.message_id}

    def send_bulk(self, body: Any) -> dict[str, Any]:
        """SendBulkEmail: one result for each entry, in order. Raises Refusal when no entry had a chance."""
        self._check_account()
        accepted: list[Mail] = []
        results = [self._entry(make, accepted) for make in accepting.read_bulk(body, self.options.rules)]
        self._accept(accepted)
        return {"BulkEmailEntryResults": results}

    def change_faults(self, wanted: dict[str, Any]) -> None:
        """Set some faults. Raises faults.UnknownFault."""
        self.faults = faults.changed(self.faults, wanted)

    def clear(self) -> dict[str, int]:
        """Forget mails, waiting events, the day's quota and the suppression list."""
        self.account.forget()
        self.suppression.clear()
        return {"mails": self.ledger.clear(), "events": self.publisher.clear()}

    def _check_account(self) -> None:
        if refusal := self.account.refusal(self.faults):
            raise refusal

    def _entry(self, make: Callable[[], Mail], accepted: list[Mail]) -> dict[str, str]:
        try:
            mail = make()
            self.account.admit(mail.recipients, self.faults)
        except Refusal as refusal:
            return {"Status": refusal.entry_status, "Error": refusal.message}
        if self.faults.entry_failure and self.dice.random() < self.faults.entry_failure:
            return {"Status": "TRANSIENT_FAILURE", "Error": "Please try again."}
        accepted.append(mail)
        return {"Status": "SUCCESS", "MessageId": mail.message_id}

    def _accept(self, mails: list[Mail]) -> None:
        self.ledger.write(mails)
        if self.options.targets:
            for mail in mails:
                self._foresee(mail)

    def _foresee(self, mail: Mail) -> None:
        told = fates.foresee(
            mail,
            self.options.rates,
            seed=self.options.seed,
            suppressed=self.suppression.covers,
            link=self.options.link,
        )
        for news in told:
            self._suppress(mail, news)
        self.publisher.announce(mail, told, self.faults)

    def _suppress(self, mail: Mail, news: News) -> None:
        """Hard bounces and complaints go onto the account's list, not so those of the mailbox simulator."""
        reason = "COMPLAINT" if news.kind == "Complaint" else _HARD.get(news.detail) if news.kind == "Bounce" else None
        for recipient in news.recipients if reason else ():
            if not recipient.lower().endswith(f"@{SIMULATOR_DOMAIN}"):
                self.suppression.put(recipient, reason, MessageId=mail.message_id)
