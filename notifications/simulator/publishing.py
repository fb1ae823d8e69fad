"""Events on their way to the webhooks: each at its time, tried again until it is taken."""

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import aiohttp

from notifications.simulator import events
from notifications.simulator.fates import News
from notifications.simulator.faults import Faults
from notifications.simulator.mails import Mail

MOST_ATTEMPTS = 185  # EventBridge's own
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between attempts; EventBridge is less eager
_AT_ONCE = 16
_COMPLAIN_EVERY = 10.0


class Target(Protocol):
    """A webhook, and how AWS calls it."""

    timeout: float

    @property
    def url(self) -> str: ...
    def request(self, mail: Mail, detail: dict[str, Any], at: datetime) -> tuple[dict[str, str], bytes]: ...
    def retries(self, status: int) -> bool: ...


@dataclass(order=True, slots=True)
class _Delivery:
    """One event for one webhook, due at a monotonic time."""

    due: float
    number: int
    target: Target = field(compare=False)
    make: Callable[[], tuple[dict[str, str], bytes]] = field(compare=False)
    kind: str = field(compare=False)
    attempt: int = field(default=0, compare=False)
    request: tuple[dict[str, str], bytes] | None = field(default=None, compare=False)


class Publisher:
    """Tells every target of every news. What a target does not take is tried again, later and later."""

    def __init__(
        self, targets: Sequence[Target], *, region: str, speed: float, dice: random.Random, say: Callable[[str], None]
    ) -> None:
        self.targets = tuple(targets)
        self.counts: Counter[str] = Counter()
        self._region, self._speed, self._dice, self._say = region, speed, dice, say
        self._waiting: list[_Delivery] = []
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self._hands = asyncio.Semaphore(_AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()
        self._complained_at = 0.0

    def announce(self, mail: Mail, told: Sequence[News], faults: Faults) -> None:
        """Plan the events of one mail, with what may happen to events on the way."""
        for target in self.targets:
            for news, due in self._disturbed(told, faults):
                happened = datetime.fromtimestamp(mail.at + news.after / self._speed, UTC)
                self._plan(target, mail, news, happened, due)

    def post(self, target: Target, make: Callable[[], tuple[dict[str, str], bytes]], kind: str) -> None:
        """Send one request to a target now."""
        self._push(_Delivery(time.monotonic(), next(self._numbers), target, make, kind))

    def summary(self) -> dict[str, Any]:
        """What `GET /events` answers."""
        return {"waiting": len(self._waiting), "under_way": len(self._under_way), **dict(sorted(self.counts.items()))}

    def clear(self) -> int:
        """Forget what has not been told yet; returns how many there were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    async def run(self) -> None:
        """Deliver for ever, until it is cancelled."""
        try:
            # trust_env is off: no proxy may come between here and a loopback address.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_AT_ONCE)) as session:
                while True:
                    await self._until_due()
                    await self._hands.acquire()
                    if self._waiting:
                        self._start(session, heapq.heappop(self._waiting))
                    else:
                        self._hands.release()
        finally:
            for task in self._under_way:
                task.cancel()

    def _disturbed(self, told: Sequence[News], faults: Faults) -> list[tuple[News, float]]:
        moments = [news.after / self._speed for news in told]
        if self._hits(faults.events_shuffled):
            self._dice.shuffle(moments)
        planned = []
        for news, moment in zip(told, moments, strict=True):
            if self._hits(faults.events_dropped):
                self.counts["dropped"] += 1
                continue
            late = self._dice.uniform(0, faults.events_delayed_seconds) if self._hits(faults.events_delayed) else 0.0
            planned.append((news, moment + late))
            if self._hits(faults.events_duplicated):
                self.counts["duplicated"] += 1
                planned.append((news, moment + late + self._dice.uniform(0, 5) / self._speed))
        return planned

    def _hits(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share

    def _plan(self, target: Target, mail: Mail, news: News, happened: datetime, due: float) -> None:
        def make() -> tuple[dict[str, str], bytes]:
            return target.request(mail, events.detail(mail, news, at=happened, region=self._region), happened)

        self._push(_Delivery(time.monotonic() + due, next(self._numbers), target, make, news.kind))

    def _push(self, delivery: _Delivery) -> None:
        heapq.heappush(self._waiting, delivery)
        if self._waiting[0] is delivery:
            self._woken.set()

    async def _until_due(self) -> None:
        while True:
            self._woken.clear()
            left = self._waiting[0].due - time.monotonic() if self._waiting else None
            if left is not None and left <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), left)

    def _start(self, session: aiohttp.ClientSession, delivery: _Delivery) -> None:
        task = asyncio.create_task(self._deliver(session, delivery))
        self._under_way.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._hands.release()

    async def _deliver(self, session: aiohttp.ClientSession, delivery: _Delivery) -> None:
        headers, body = delivery.request or delivery.make()
        status, problem, pause = 0, "", 0.0
        timeout = aiohttp.ClientTimeout(total=delivery.target.timeout)
        try:
            url = delivery.target.url
            async with session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                status = answer.status
                pause = _retry_after(answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}".rstrip(": ")
        if 200 <= status < 300:
            self.counts["delivered"] += 1
            self.counts[delivery.kind] += 1
        else:
            self._miss(replace(delivery, request=(headers, body)), status, problem, pause)

    def _miss(self, delivery: _Delivery, status: int, problem: str, pause: float) -> None:
        again = delivery.target.retries(status) and delivery.attempt + 1 < MOST_ATTEMPTS
        self.counts["retried" if again else "given_up"] += 1
        self._complain(f"{delivery.target.url} answers {status or problem}; {'trying again' if again else 'giving up'}")
        if again:
            later = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(delivery.attempt, 10)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
            self._push(replace(delivery, due=time.monotonic() + max(later, pause), attempt=delivery.attempt + 1))

    def _complain(self, words: str) -> None:
        if time.monotonic() - self._complained_at > _COMPLAIN_EVERY:
            self._complained_at = time.monotonic()
            self._say(words)


def _retry_after(text: str) -> float:
    return min(float(text), 300.0) if text.isascii() and text.isdecimal() else 0.0
