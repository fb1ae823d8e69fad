"""What the doctor says of the sender's domain: its identity at SES and its records in DNS."""

import pytest

from notifications.setup import dns_checks
from notifications.setup.doctor import Mark
from tests.aws import wish
from tests.notifications.setup.doctor.lines import the

pytestmark = pytest.mark.django_db


def test_an_identity_that_is_not_verified_blocks(examine, aws):
    aws.sesv2.identities["example.com"]["VerifiedForSendingStatus"] = False

    assert the(examine(), "identity").mark is Mark.FAIL


@pytest.mark.parametrize(("domain", "sender"), [("news.example.com", "a@news.example.com"), ("other.org", "me@other.org")])
def test_a_verified_domain_above_or_the_address_itself_will_do(examine, aws, domain, sender):
    aws.sesv2.identities["me@other.org"] = {"VerifiedForSendingStatus": True}

    assert the(examine(wish=wish(domain=domain), sender=sender), "identity").mark is Mark.OK


@pytest.mark.parametrize(
    ("part", "changes", "subject"),
    [
        ("DkimAttributes", {"Status": "PENDING"}, "DKIM"),
        ("DkimAttributes", {"SigningEnabled": False}, "DKIM"),
        ("MailFromAttributes", {"MailFromDomainStatus": "FAILED"}, "MAIL FROM"),
        ("MailFromAttributes", {"MailFromDomain": ""}, "MAIL FROM"),
    ],
)
def test_a_half_finished_identity_is_warned_about(examine, aws, part, changes, subject):
    aws.sesv2.identities["example.com"][part] |= changes

    assert the(examine(), subject).mark is Mark.WARN


@pytest.mark.parametrize(
    ("name", "kind", "records", "subject", "mark"),
    [
        ("one._domainkey.example.com", "CNAME", [], "DKIM in DNS", Mark.FAIL),
        ("two._domainkey.example.com", "CNAME", ["two.example.net"], "DKIM in DNS", Mark.FAIL),
        ("mail.example.com", "MX", [], "MAIL FROM in DNS", Mark.WARN),
        ("mail.example.com", "MX", ["10 mx.example.net"], "MAIL FROM in DNS", Mark.WARN),
        ("mail.example.com", "TXT", [], "SPF", Mark.WARN),
        ("mail.example.com", "TXT", ["v=spf1 include:_spf.google.com -all"], "SPF", Mark.WARN),
        ("mail.example.com", "TXT", ["v=spf1 include:amazonses.com -all", "v=spf1 -all"], "SPF", Mark.FAIL),
        ("_dmarc.example.com", "TXT", [], "DMARC", Mark.WARN),
        ("_dmarc.example.com", "TXT", ["something else"], "DMARC", Mark.WARN),
        ("_dmarc.example.com", "TXT", ["v=DMARC1; p=none", "v=DMARC1; p=reject"], "DMARC", Mark.FAIL),
        ("_dmarc.example.com", "TXT", ["v=DMARC1; rua=mailto:a@example.com"], "DMARC", Mark.FAIL),
        ("_dmarc.example.com", "TXT", ["V=dmarc1;P=REJECT"], "DMARC", Mark.OK),
    ],
)
def test_dns_is_judged(examine, zone, name, kind, records, subject, mark):
    zone.zone[name, kind] = records

    assert the(examine(), subject).mark is mark


@pytest.mark.parametrize(
    ("policy", "dkim", "mail_from", "mark"),
    [
        ("p=reject", True, "mail.example.com", Mark.OK),
        ("p=reject; aspf=s", True, "mail.example.com", Mark.OK),
        ("p=reject", True, "", Mark.OK),
        ("p=reject", False, "mail.example.com", Mark.WARN),
        ("p=reject; aspf=s", False, "mail.example.com", Mark.FAIL),
        ("p=reject", False, "mail.example.net", Mark.FAIL),
        ("p=quarantine", False, "", Mark.FAIL),
        ("p=none", False, "", Mark.WARN),
    ],
)
def test_dmarc_wants_dkim_or_spf_in_the_senders_own_name(examine, aws, zone, policy, dkim, mail_from, mark):
    zone.zone["_dmarc.example.com", "TXT"] = [f"v=DMARC1; {policy}"]
    identity = aws.sesv2.identities["example.com"]
    identity["DkimAttributes"]["Status"] = "SUCCESS" if dkim else "PENDING"
    identity["MailFromAttributes"]["MailFromDomain"] = mail_from

    assert the(examine(), "DMARC").mark is mark


def test_a_subdomain_has_the_policy_of_the_domain_above(examine):
    line = the(examine(wish=wish(domain="news.example.com")), "DMARC")

    assert "_dmarc.example.com" in line.words


@pytest.mark.parametrize(("policy", "mark"), [("p=reject", Mark.OK), ("p=reject; adkim=s", Mark.FAIL)])
def test_a_signature_of_the_domain_above_aligns_unless_the_policy_is_strict(examine, zone, policy, mark):
    zone.zone["_dmarc.example.com", "TXT"] = [f"v=DMARC1; {policy}"]

    assert the(examine(wish=wish(domain="news.example.com")), "DMARC").mark is mark


def test_a_name_server_that_is_silent_hides_nothing_else(examine, zone):
    zone.broken = {"mail.example.com"}

    lines = examine()

    assert the(lines, "SPF").mark is Mark.FAIL
    assert "cannot be checked" in the(lines, "SPF").words
    assert the(lines, "DMARC").mark is Mark.OK


def test_records_are_texts_without_quotes_and_final_dots():
    from dns.rdata import from_text
    from dns.rdataclass import IN
    from dns.rdatatype import CNAME, MX, TXT

    assert dns_checks._text(from_text(IN, TXT, '"v=spf1 include:" "amazonses.com -all"')) == "v=spf1 include:amazonses.com -all"
    assert dns_checks._text(from_text(IN, CNAME, "a.dkim.amazonses.com.")) == "a.dkim.amazonses.com"
    assert dns_checks._text(from_text(IN, MX, "10 feedback-smtp.us-east-1.amazonses.com.")).endswith("amazonses.com")
