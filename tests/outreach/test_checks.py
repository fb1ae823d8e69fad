"""System checks by their stable ids; the guards are a second net below the environment's own."""

import pytest

from outreach import checks
from tests.outreach.test_settings import COMPLETE, run


@pytest.fixture
def production(settings):
    """Settings on which every rule of production holds."""
    good = {
        "PRODUCTION": True,
        "SECRET_KEY": "x" * 50,
        "ALLOWED_HOSTS": ["mail.example.com"],
        "PUBLIC_BASE_URL": "https://mail.example.com",
        "EMAIL_MODE": "ses",
        "SES_REGION": "us-east-1",
        "SES_FROM": "hello@example.com",
        "SES_WEBHOOK_SECRETS": ["secret"],
        "SES_SNS_TOPIC_ARNS": [],
        "PROXY_SHARED_SECRET": "x" * 32,
        "EMAIL_ALLOWED_RECIPIENTS": [],
        "DEBUG": False,
    }
    for name, value in good.items():
        setattr(settings, name, value)
    return settings


def ids(check):
    return [message.id for message in check(None)]


def test_a_guarded_production_passes(production):
    assert ids(checks.production_is_guarded) == []


def test_sns_alone_brings_events_in_too(production):
    production.SES_WEBHOOK_SECRETS, production.SES_SNS_TOPIC_ARNS = [], ["arn:aws:sns:us-east-1:123456789012:ses"]

    assert ids(checks.production_is_guarded) == []


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("SECRET_KEY", "x" * 49, "outreach.E001"),
        ("ALLOWED_HOSTS", [], "outreach.E002"),
        ("ALLOWED_HOSTS", ["*"], "outreach.E002"),
        ("PUBLIC_BASE_URL", "http://mail.example.com", "outreach.E003"),
        ("EMAIL_MODE", "", "outreach.E004"),
        ("SES_REGION", "", "outreach.E005"),
        ("SES_FROM", "", "outreach.E006"),
        ("SES_WEBHOOK_SECRETS", [], "outreach.E007"),
        ("PROXY_SHARED_SECRET", "x" * 31, "outreach.E008"),
        ("EMAIL_ALLOWED_RECIPIENTS", ["@example.com"], "outreach.E009"),
        ("DEBUG", True, "outreach.E010"),
    ],
)
def test_every_rule_of_production_has_its_id(production, name, value, id_):
    setattr(production, name, value)

    assert ids(checks.production_is_guarded) == [id_]
    production.PRODUCTION = False
    assert ids(checks.production_is_guarded) == []


def test_a_broken_email_template_is_an_error(settings, tmp_path):
    settings.EMAIL_TEMPLATES = tmp_path
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "subject.txt").write_text("{{ x")
    (tmp_path / "half" / "body.txt").write_text("{% nothing %}")

    assert ids(checks.email_templates_are_whole) == ["outreach.E011", "outreach.E011"]


def test_another_way_for_djangos_mail_is_warned_of(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert ids(checks.djangos_mail_goes_through_the_outbox) == ["outreach.W003"]
    settings.EMAIL_BACKEND = "notifications.backend.EmailBackend"
    assert ids(checks.djangos_mail_goes_through_the_outbox) == []


def test_a_rehearsal_that_may_mail_anybody_is_warned_of(settings):
    settings.EMAIL_MODE, settings.PRODUCTION, settings.EMAIL_ALLOWED_RECIPIENTS = "ses", False, []
    assert ids(checks.rehearsals_name_their_recipients) == ["outreach.W004"]
    settings.EMAIL_ALLOWED_RECIPIENTS = ["@example.com"]
    assert ids(checks.rehearsals_name_their_recipients) == []


def test_the_simulator_mails_nobody_and_is_not_warned_of(settings):
    settings.EMAIL_MODE, settings.PRODUCTION, settings.EMAIL_ALLOWED_RECIPIENTS = "ses", False, []
    settings.SES_IS_SIMULATED = True

    assert ids(checks.rehearsals_name_their_recipients) == []


def test_a_campaign_without_a_postal_address_and_mail_without_events_are_warned_of(production):
    production.POSTAL_ADDRESS = production.SES_CONFIGURATION_SET = ""

    assert ids(checks.outreach_can_be_sent) == ["outreach.W001"]
    assert ids(checks.events_find_their_way) == ["outreach.W002"]


def test_the_documented_production_passes_the_deployment_checks():
    result = run({}, ["manage.py", "check", "--deploy", "--fail-level", "WARNING"], base=COMPLETE)

    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout
