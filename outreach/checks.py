"""System checks: what would go wrong later, said by `manage.py check` now."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004 (Django's word)


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
