"""What becomes of a mail after SES took it, and when: the news that its events will tell.

The addresses of SES' own mailbox simulator have their fixed fate; everybody else's is drawn from
rates, the same for the same seed, person and subject, whatever the order of arrival.
https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from notifications.simulator.account import SIMULATOR_DOMAIN
from notifications.simulator.checking import domain
from notifications.simulator.mails import Mail


def _share(default: float, what: str) -> Any:
    return field(default=default, metadata={"help": f"{what} (share, 0 to 1)"})


@dataclass(frozen=True)
class Rates:
    """How the world treats mail to addresses that are not the mailbox simulator's."""

    bounce_rate: float = _share(0.0, "hard bounces: Permanent/General")
    soft_bounce_rate: float = _share(0.0, "soft bounces: Transient/MailboxFull")
    complaint_rate: float = _share(0.0, "of what is delivered, complained about")
    delay_rate: float = _share(0.0, "of what is delivered, delayed at first")
    reject_rate: float = _share(0.0, "rejected for bad content after acceptance")
    open_rate: float = _share(0.0, "of what is delivered, opened")
    click_rate: float = _share(0.0, "of what is opened, clicked")


@dataclass(frozen=True, slots=True)
class News:
    """One event to be: `after` seconds; `detail` is a bounce's sub-type or a click's link."""

    after: float
    kind: str
    recipients: tuple[str, ...]
    detail: str = ""


Draw = Callable[[float, float], float]


def foresee(mail: Mail, rates: Rates, *, seed: int, suppressed: Callable[[str], bool], link: str) -> list[News]:
    """Everything that will be told of this mail, in the order in which it happens.

    Bounces of one mail are told together; a complaint names everybody of that mail at the complaining domain.
    """
    if mail.failure:
        return [News(0.2, "Rendering Failure", ())]
    dice = _dice(mail, seed)
    told = [News(dice.uniform(0.05, 0.3), "Send", ())]
    for recipient in mail.recipients:
        told += _fate(recipient, mail, rates, dice, suppressed, link)
    if any(news.kind == "Reject" for news in told):
        return [told[0], next(news for news in told if news.kind == "Reject")]
    return sorted(_together(told), key=lambda news: news.after)


def _dice(mail: Mail, seed: int) -> random.Random:
    drawn = f"{seed}|{mail.recipients[0].lower()}|{mail.subject}|{mail.tags.get('campaign_id', '')}"
    return random.Random(hashlib.blake2b(drawn.encode("utf-8", "replace"), digest_size=8).digest())  # noqa: S311 (made-up fates)


def _fate(
    recipient: str, mail: Mail, rates: Rates, dice: random.Random, suppressed: Callable[[str], bool], link: str
) -> Iterator[News]:
    delivered = dice.uniform(0.3, 1.5)
    if domain(recipient) == SIMULATOR_DOMAIN:
        yield from _rehearsed(recipient, mail, delivered, dice)
    elif suppressed(recipient):
        yield News(delivered, "Bounce", (recipient,), "Permanent/OnAccountSuppressionList")
    else:
        yield from _drawn(recipient, mail, rates, dice, link)


def _rehearsed(recipient: str, mail: Mail, delivered: float, dice: random.Random) -> Iterator[News]:
    """What the mailbox simulator does; a +label changes nothing. An unknown name there is as good as success@."""
    match recipient.partition("@")[0].partition("+")[0].lower():
        case "bounce":
            yield News(delivered, "Bounce", (recipient,), "Permanent/General")
        case "suppressionlist":
            yield News(delivered, "Bounce", (recipient,), "Permanent/Suppressed")
        case "complaint":
            yield News(delivered, "Delivery", (recipient,))
            yield News(delivered + dice.uniform(1, 3), "Complaint", _neighbours(recipient, mail))
        case "ooto":
            yield News(delivered, "Delivery", (recipient,))
            yield News(delivered + dice.uniform(1, 3), "Bounce", (recipient,), "Transient/General")
        case _:
            yield News(delivered, "Delivery", (recipient,))


def _drawn(recipient: str, mail: Mail, rates: Rates, dice: random.Random, link: str) -> Iterator[News]:
    # All of them are drawn, so that changing one rate does not change another fate.
    lot, complains, delayed, opens, clicks = (dice.random() for _ in range(5))
    at = dice.uniform(0.3, 1.5)
    if lot < rates.bounce_rate:
        yield News(at, "Bounce", (recipient,), "Permanent/General")
        return
    if lot < rates.bounce_rate + rates.soft_bounce_rate:
        yield News(at, "DeliveryDelay", (recipient,))
        yield News(at + dice.uniform(3, 6), "Bounce", (recipient,), "Transient/MailboxFull")
        return
    if lot < rates.bounce_rate + rates.soft_bounce_rate + rates.reject_rate:
        yield News(at, "Reject", ())
        return
    if delayed < rates.delay_rate:
        yield News(at, "DeliveryDelay", (recipient,))
        at += dice.uniform(3, 6)
    yield News(at, "Delivery", (recipient,))
    yield from _read(recipient, mail, at, rates, dice, link, draws=(complains, opens, clicks))


def _read(
    recipient: str, mail: Mail, at: float, rates: Rates, dice: random.Random, link: str, *, draws: tuple[float, float, float]
) -> Iterator[News]:
    complains, opens, clicks = draws
    if complains < rates.complaint_rate:
        yield News(at + dice.uniform(3, 8), "Complaint", _neighbours(recipient, mail))
    elif opens < rates.open_rate:
        at += dice.uniform(2, 15)
        yield News(at, "Open", ())
        if clicks < rates.click_rate and (target := link or mail.first_link()):
            yield News(at + dice.uniform(1, 6), "Click", (), target)


def _together(told: list[News]) -> Iterator[News]:
    """Bounces of one kind in one event, at the time of the last; so with complaints of one domain."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[News]] = {}
    for news in told:
        if news.kind == "Bounce":
            groups.setdefault((news.kind, news.detail, ()), []).append(news)
        elif news.kind == "Complaint":
            groups.setdefault((news.kind, "", news.recipients), []).append(news)
        else:
            yield news
    for (kind, detail, _), found in groups.items():
        everybody = dict.fromkeys(recipient for news in found for recipient in news.recipients)
        yield News(max(news.after for news in found), kind, tuple(everybody), detail)


def _neighbours(recipient: str, mail: Mail) -> tuple[str, ...]:
    return tuple(one for one in mail.recipients if domain(one) == domain(recipient))
