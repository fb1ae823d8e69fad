"""The account: how much it may send, to whom it may not, and what it has sent.

https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas.html
"""

import time
from collections import deque
from typing import Any

from notifications.simulator import refusing
from notifications.simulator.faults import Faults
from notifications.simulator.refusing import Refusal

SIMULATOR_DOMAIN = "simulator.amazonses.com"
# What GetAccount says of a rate that nothing limits.
_UNLIMITED_RATE = 100_000.0
_SANDBOX_RATE, _SANDBOX_QUOTA = 1.0, 200.0
_MINUTES_A_DAY = 1_440


class RateLimit:
    """At most so many recipients within any one second (or longer, below one a second)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.most = max(1, int(rate))
        self._window = self.most / rate if rate else float("inf")
        self._times: deque[float] = deque()

    def take(self, recipients: int, now: float) -> bool:
        """Whether they fit, and count them when they do. `now` is monotonic, in seconds."""
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
        if not self.rate or len(self._times) + min(recipients, self.most) > self.most:
            return False
        self._times.extend([now] * recipients)
        return True


class Account:
    """Quotas are counted per recipient; mail to the mailbox simulator is free of the daily one."""

    def __init__(self, *, sandbox: bool) -> None:
        self.sandbox = sandbox
        self._limit: RateLimit | None = None
        self._sent_by_minute: dict[int, int] = {}

    def refusal(self, faults: Faults) -> Refusal | None:
        """Why nobody's mail is accepted now."""
        if faults.account_suspended:
            return refusing.suspended()
        return refusing.paused() if faults.sending_paused else None

    def admit(self, recipients: list[str], faults: Faults) -> None:
        """Count a mail. Raises Refusal when it is over the daily quota or the rate."""
        rate, quota = self.max_send_rate(faults), self.daily_quota(faults)
        free = SIMULATOR_DOMAIN in recipients[0] and all(one.lower().endswith(f"@{SIMULATOR_DOMAIN}") for one in recipients)
        if quota is not None and not free and self.sent_last_day() + len(recipients) > quota:
            raise refusing.quota_exceeded()
        if rate is not None and not self._limiter(rate).take(len(recipients), time.monotonic()):
            raise refusing.throttled()
        if not free:
            minute = int(time.time() // 60)
            self._sent_by_minute[minute] = self._sent_by_minute.get(minute, 0) + len(recipients)

    def max_send_rate(self, faults: Faults) -> float | None:
        """Recipients a second, or None."""
        return faults.max_send_rate if faults.max_send_rate is not None or not self.sandbox else _SANDBOX_RATE

    def daily_quota(self, faults: Faults) -> float | None:
        """Recipients in 24 hours, or None."""
        return faults.daily_quota if faults.daily_quota is not None or not self.sandbox else _SANDBOX_QUOTA

    def sent_last_day(self) -> int:
        """Recipients in the last 24 hours, to the minute."""
        oldest = int(time.time() // 60) - _MINUTES_A_DAY
        if len(self._sent_by_minute) > _MINUTES_A_DAY:
            self._sent_by_minute = {minute: count for minute, count in self._sent_by_minute.items() if minute > oldest}
        return sum(count for minute, count in self._sent_by_minute.items() if minute > oldest)

    def describe(self, faults: Faults) -> dict[str, Any]:
        """What GetAccount answers."""
        quota, rate = self.daily_quota(faults), self.max_send_rate(faults)
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": "SHUTDOWN" if faults.account_suspended else "HEALTHY",
            "ProductionAccessEnabled": not self.sandbox,
            "SendQuota": {
                "Max24HourSend": -1.0 if quota is None else quota,
                "MaxSendRate": _UNLIMITED_RATE if rate is None else rate,
                "SentLast24Hours": float(self.sent_last_day()),
            },
            "SendingEnabled": self.refusal(faults) is None,
            "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
        }

    def forget(self) -> None:
        """Begin a new day."""
        self._sent_by_minute.clear()
        self._limit = None

    def _limiter(self, rate: float) -> RateLimit:
        if self._limit is None or self._limit.rate != rate:
            self._limit = RateLimit(rate)
        return self._limit
