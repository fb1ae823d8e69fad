"""System checks: what would go wrong later, said by `manage.py check` now."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 (Django's word)

from notifications import email_templates

# The guards of ENV=production as checks besides, for whoever changes settings behind the environment's back (a
# settings module of their own, a test). `outreach.settings` refuses the same with one line before any check can run.
_Rule = tuple[str, str, str, Callable[[], bool]]
_PRODUCTION: tuple[_Rule, ...] = (
    ("outreach.E001", "SECRET_KEY", "has fewer than 50 characters", lambda: len(settings.SECRET_KEY) >= 50),
    ("outreach.E002", "ALLOWED_HOSTS", "is empty or allows every host", lambda: _names_hosts(settings.ALLOWED_HOSTS)),
    ("outreach.E003", "PUBLIC_BASE_URL", "is not https", lambda: settings.PUBLIC_BASE_URL.startswith("https://")),
    ("outreach.E004", "EMAIL_MODE", "is neither log nor ses", lambda: settings.EMAIL_MODE in {"log", "ses"}),
    ("outreach.E005", "SES_REGION", "is not set", lambda: bool(settings.SES_REGION)),
    ("outreach.E006", "SES_FROM", "is not set", lambda: bool(settings.SES_FROM)),
    (
        "outreach.E007",
        "SES_WEBHOOK_SECRET",
        "is not set, nor is SES_SNS_TOPIC_ARNS: bounces would not be seen",
        lambda: bool(settings.SES_WEBHOOK_SECRETS or settings.SES_SNS_TOPIC_ARNS),
    ),
    (
        "outreach.E008",
        "PROXY_SHARED_SECRET",
        "has fewer than 32 characters",
        lambda: len(settings.PROXY_SHARED_SECRET) >= 32,
    ),
    ("outreach.E009", "EMAIL_ALLOWED_RECIPIENTS", "is for rehearsals", lambda: not settings.EMAIL_ALLOWED_RECIPIENTS),
    ("outreach.E010", "DEBUG", "shows strangers the settings", lambda: not settings.DEBUG),
)


@register(Tags.security)
def production_is_guarded(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Every rule of ENV=production, by a stable id."""
    if not settings.PRODUCTION:
        return []
    hint = "See .env.example and docs/operations.md."
    return [Error(f"{name} {problem}.", hint=hint, id=id_) for id_, name, problem, holds in _PRODUCTION if not holds()]


@register(Tags.templates)
def email_templates_are_whole(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Each directory under templates/emails holds three files that compile; otherwise nobody could send it."""
    found = email_templates.problems().items()
    return [Error(f"templates/emails/{path}: {problem}", id="outreach.E011") for path, problem in found]


@register(Tags.compatibility)
def djangos_mail_goes_through_the_outbox(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Another EMAIL_BACKEND would mail suppressed addresses, and nobody would know who got what."""
    if settings.EMAIL_BACKEND != "notifications.backend.EmailBackend":
        hint = "Set it to notifications.backend.EmailBackend."
        return [Warning(f"EMAIL_BACKEND is {settings.EMAIL_BACKEND}: past the ledger.", hint=hint, id="outreach.W003")]
    return []


@register(Tags.compatibility)
def rehearsals_name_their_recipients(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """A development or staging site that sends through SES could mail real people out of copied data."""
    mails_people = settings.EMAIL_MODE == "ses" and not settings.SES_IS_SIMULATED
    if mails_people and not settings.PRODUCTION and not settings.EMAIL_ALLOWED_RECIPIENTS:
        hint = "Set it to the addresses and @domains that rehearsals may write to, or say ENV=production."
        return [Warning("EMAIL_ALLOWED_RECIPIENTS is not set: this site may mail anybody.", hint=hint, id="outreach.W004")]
    return []


@register(Tags.compatibility)
def outreach_can_be_sent(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Production without a postal address: every campaign would refuse to start."""
    if settings.PRODUCTION and not settings.POSTAL_ADDRESS:
        hint = "Set it to the sender's postal address: outreach mail must carry one (15 USC 7704)."
        return [Warning("POSTAL_ADDRESS is not set: no campaign can start.", hint=hint, id="outreach.W001")]
    return []


@register(Tags.compatibility)
def events_find_their_way(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Sending through SES without a configuration set: no event would ever come back."""
    if settings.EMAIL_MODE == "ses" and not settings.SES_CONFIGURATION_SET:
        hint = "Set it to the configuration set whose event destination leads to this site."
        return [Warning("SES_CONFIGURATION_SET is not set: bounces will not be seen.", hint=hint, id="outreach.W002")]
    return []


def _names_hosts(hosts: list[str]) -> bool:
    return bool(hosts) and "*" not in hosts
