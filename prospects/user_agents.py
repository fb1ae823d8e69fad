"""What kind of program a request came from, as coarse as an audit needs it."""

import re

from prospects.models import Unsubscribe

_PROVIDERS = re.compile(
    r"google|gmail|yahoo|ymail|\baol\b|outlook|hotmail|microsoft office|exchange|icloud|applemail|proton|fastmail|zoho"
    r"|\bgmx\b|web\.de|mail\.ru|yandexmail|qqmail|naver|thunderbird|list-unsubscribe|one-click",
    re.IGNORECASE,
)
_BROWSERS = re.compile(r"mozilla/|opera/", re.IGNORECASE)


def classify(user_agent: str) -> Unsubscribe.UserAgent:
    """The class of a `User-Agent` header; nothing else of it is kept."""
    if _PROVIDERS.search(user_agent):
        return Unsubscribe.UserAgent.PROVIDER
    if _BROWSERS.search(user_agent):
        return Unsubscribe.UserAgent.BROWSER
    return Unsubscribe.UserAgent.OTHER
