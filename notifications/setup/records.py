"""The DNS records that a sending domain needs. Pure.

https://docs.aws.amazon.com/ses/latest/dg/send-email-authentication-dkim-easy.html
https://docs.aws.amazon.com/ses/latest/dg/mail-from.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

DKIM_ZONE = "dkim.amazonses.com"
SPF_INCLUDE = "include:amazonses.com"


@dataclass(frozen=True)
class Record:
    """One record to publish, and what it is for."""

    kind: str
    name: str
    value: str
    why: str


def dkim(domain: str, tokens: Sequence[str], zone: str = "") -> list[Record]:
    """The names under which SES keeps its keys; newer regions have a zone of their own."""
    why = "DKIM: SES signs in the name of the domain"
    return [Record("CNAME", f"{token}._domainkey.{domain}", f"{token}.{zone or DKIM_ZONE}", why) for token in tokens]


def spf(domain: str) -> list[Record]:
    return [Record("TXT", domain, f"v=spf1 {SPF_INCLUDE} -all", "SPF: join it with what is there, a domain may have only one")]


def mail_from(mail_from_domain: str, region: str) -> list[Record]:
    """The custom MAIL FROM domain, through which SPF speaks for the domain itself (alignment)."""
    if not mail_from_domain:
        return []
    return [
        Record("MX", mail_from_domain, f"10 {feedback_host(region)}", "MAIL FROM: bounces find SES"),
        Record("TXT", mail_from_domain, f"v=spf1 {SPF_INCLUDE} ~all", "MAIL FROM: SPF that aligns with the sender's domain"),
    ]


def dmarc(domain: str) -> list[Record]:
    value = f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}; pct=100; aspf=r; adkim=r"
    why = "DMARC: begin with p=none; quarantine, then reject, after a week of clean reports"
    return [Record("TXT", f"_dmarc.{domain}", value, why)]


def feedback_host(region: str) -> str:
    return f"feedback-smtp.{region}.amazonses.com"
