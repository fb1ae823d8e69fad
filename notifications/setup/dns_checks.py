"""What the doctor asks DNS: do DKIM, SPF and DMARC speak for the sender's domain, as receivers see it?

RFC 7489, 3.1 (alignment), 6.3 (the record); RFC 7208, 3.2 (only one SPF record).
"""

from collections.abc import Iterable

import dns.exception
import dns.resolver

from notifications.setup import clients, records, steps
from notifications.setup.doctor import Line, Patient, fail, ok, warn

_PUBLISH = "Publish the records that manage.py ses_setup --dry-run prints."


class SystemResolver:
    """The name servers of this machine, five seconds at most a question."""

    def __init__(self) -> None:
        self._resolver = dns.resolver.Resolver()
        self._resolver.lifetime = 5.0

    def records(self, name: str, kind: str) -> list[str]:
        """Raises dns.exception.DNSException when nobody answers."""
        try:
            answer = self._resolver.resolve(name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        return [_text(record) for record in answer]


def dkim(patient: Patient) -> Iterable[Line]:
    """The CNAME of every token that SES has for the domain."""
    domain, read = patient.wish.domain, patient.aws.sesv2.get_email_identity
    found = steps.found(lambda: read(EmailIdentity=domain)) or {}
    attributes = found.get("DkimAttributes", {})
    wanted = records.dkim(domain, attributes.get("Tokens", []), attributes.get("SigningHostedZone", ""))
    missing = [record.name for record in wanted if record.value not in _lower(patient.resolver.records(record.name, "CNAME"))]
    if missing:
        yield fail("DKIM in DNS", f"no CNAME to SES at {', '.join(missing)}", _PUBLISH)
    elif wanted:
        yield ok("DKIM in DNS", f"{len(wanted)} CNAME records lead to SES")


def mail_from(patient: Patient) -> Iterable[Line]:
    """MX and SPF of the custom MAIL FROM domain."""
    domain = _mail_from_domain(patient)
    if not domain:
        return
    if not any(
        record.endswith(records.feedback_host(patient.wish.region)) for record in _lower(patient.resolver.records(domain, "MX"))
    ):
        yield warn("MAIL FROM in DNS", f"{domain} has no MX to {records.feedback_host(patient.wish.region)}", _PUBLISH)
    else:
        yield ok("MAIL FROM in DNS", f"{domain} leads bounces to SES")


def spf(patient: Patient) -> Iterable[Line]:
    """SPF speaks for the MAIL FROM domain: our own one only when it is a custom one."""
    domain = _mail_from_if_known(patient) or patient.wish.domain
    found = [text for text in _lower(patient.resolver.records(domain, "TXT")) if text.split(" ")[0] == "v=spf1"]
    if len(found) > 1:
        yield fail(
            "SPF", f"{domain} has {len(found)} SPF records: receivers then heed none (RFC 7208, 3.2)", "Join them into one."
        )
    elif not found:
        yield warn("SPF", f"{domain} has no SPF record", _PUBLISH)
    elif records.SPF_INCLUDE not in found[0]:
        yield warn("SPF", f"{domain} does not include amazonses.com: {found[0]}", f"Add {records.SPF_INCLUDE} to it.")
    else:
        yield ok("SPF", f"{domain} includes amazonses.com")


def dmarc(patient: Patient) -> Iterable[Line]:
    """The policy of the sender's domain, or of the one above it; and whether DKIM or SPF would satisfy it."""
    at, policies = _dmarc_records(patient)
    if len(policies) > 1:
        yield fail(
            "DMARC", f"{at} has {len(policies)} DMARC records: receivers then heed none (RFC 7489, 6.6.3)", "Keep one of them."
        )
        return
    if not policies:
        yield warn("DMARC", f"{patient.wish.domain} has no DMARC record: Gmail and Yahoo ask bulk senders for one", _PUBLISH)
        return
    policy = _tags(policies[0])
    if policy.get("p") not in {"none", "quarantine", "reject"}:
        yield fail("DMARC", f"{at} says {policies[0]!r}: p= must be none, quarantine or reject", _PUBLISH)
        return
    try:
        yield _alignment(patient, at, policy)
    except clients.AwsError as error:
        words = f"{at} asks for p={policy['p']}; whether DKIM or SPF aligns is not known: {clients.said(error)}"
        yield warn("DMARC", words, "Mend that, then run this again.")


def _alignment(patient: Patient, at: str, policy: dict[str, str]) -> Line:
    """DMARC is satisfied when DKIM or SPF passes in the name of the sender's own domain."""
    dkim_aligned, spf_aligned = _dkim_aligns(patient, policy), _spf_aligns(patient, policy)
    words = f"{at} asks for p={policy['p']}"
    if dkim_aligned and spf_aligned:
        return ok("DMARC", f"{words}; DKIM and SPF align")
    if dkim_aligned:
        return ok("DMARC", f"{words}; DKIM aligns, SPF does not (no custom MAIL FROM domain that fits)")
    if spf_aligned:
        return warn("DMARC", f"{words}; only SPF aligns, which forwarding breaks", f"Switch DKIM on. {_PUBLISH}")
    told = fail if policy["p"] != "none" else warn
    return told("DMARC", f"{words}; neither DKIM nor SPF aligns: receivers may refuse every mail", f"Switch DKIM on. {_PUBLISH}")


def _dkim_aligns(patient: Patient, policy: dict[str, str]) -> bool:
    """SES signs with the verified domain: the sender's own, or one above it."""
    labels = patient.wish.domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        signer = ".".join(labels[start:])
        found = steps.found(lambda name=signer: patient.aws.sesv2.get_email_identity(EmailIdentity=name)) or {}  # type: ignore[misc]
        attributes = found.get("DkimAttributes", {})
        if attributes.get("Status") == "SUCCESS" and attributes.get("SigningEnabled"):
            return start == 0 or policy.get("adkim", "r") != "s"
    return False


def _spf_aligns(patient: Patient, policy: dict[str, str]) -> bool:
    domain, sender = _mail_from_domain(patient), patient.wish.domain
    if not domain:
        return False
    related = domain == sender or domain.endswith(f".{sender}") or sender.endswith(f".{domain}")
    return domain == sender if policy.get("aspf", "r") == "s" else related


def _mail_from_domain(patient: Patient) -> str:
    found = steps.found(lambda: patient.aws.sesv2.get_email_identity(EmailIdentity=patient.wish.domain)) or {}
    return str((found.get("MailFromAttributes") or {}).get("MailFromDomain", "")).lower()


def _mail_from_if_known(patient: Patient) -> str:
    """Without SES the records of the domain itself can still be looked at."""
    try:
        return _mail_from_domain(patient)
    except clients.AwsError:
        return ""


def _dmarc_records(patient: Patient) -> tuple[str, list[str]]:
    labels = patient.wish.domain.split(".")
    at = ""
    for start in range(max(1, len(labels) - 1)):
        at = f"_dmarc.{'.'.join(labels[start:])}"
        found = [text for text in patient.resolver.records(at, "TXT") if text.replace(" ", "").lower().startswith("v=dmarc1")]
        if found:
            return at, found
    return at, []


def _tags(record: str) -> dict[str, str]:
    """`v=DMARC1; p=none` → {"v": "dmarc1", "p": "none"}."""
    pairs = (part.partition("=") for part in record.lower().split(";") if "=" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _lower(texts: Iterable[str]) -> list[str]:
    return [text.lower() for text in texts]


def _text(record: object) -> str:
    """A record as one text: a TXT record is stored in pieces of 255 bytes that belong together."""
    pieces = getattr(record, "strings", None)
    if pieces is not None:
        return b"".join(pieces).decode("utf-8", "replace")
    return str(record).rstrip(".")
