"""How the admin looks: the menu at its side, its colours, its own style and script."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

# Title, icon (Material Symbols), app, model.
_MENU = (
    (
        "Outreach",
        (
            ("Campaigns", "campaign", "campaigns", "campaign"),
            ("Sends", "outgoing_mail", "campaigns", "emailsend"),
            ("Decisions", "gavel", "campaigns", "senddecision"),
        ),
    ),
    (
        "People",
        (
            ("Prospects", "group", "prospects", "prospect"),
            ("Imports", "upload_file", "prospects", "prospectimport"),
            ("Unsubscribes", "unsubscribe", "prospects", "unsubscribe"),
            ("Erased and exported", "person_remove", "prospects", "personrequest"),
        ),
    ),
    (
        "Delivery",
        (
            ("Transactional mail", "outbox", "notifications", "transactionalemail"),
            ("Suppressions", "block", "notifications", "suppression"),
            ("Lifted suppressions", "lock_open", "notifications", "suppressionlift"),
            ("Conflicts with SES", "sync_problem", "notifications", "seslistconflict"),
            ("Events", "sensors", "notifications", "emailevent"),
        ),
    ),
    (
        "Staff",
        (
            ("Users", "badge", "auth", "user"),
            ("Groups", "shield_person", "auth", "group"),
        ),
    ),
)

# A blue on which white text is readable (600: contrast 5.2:1), from light to dark.
_BLUE = {
    "50": "oklch(97% .014 254.6)",
    "100": "oklch(93.2% .032 255.6)",
    "200": "oklch(88.2% .059 254.1)",
    "300": "oklch(80.9% .105 251.8)",
    "400": "oklch(70.7% .165 254.6)",
    "500": "oklch(62.3% .214 259.8)",
    "600": "oklch(54.6% .245 262.9)",
    "700": "oklch(48.8% .243 264.4)",
    "800": "oklch(42.4% .199 265.6)",
    "900": "oklch(37.9% .146 265.5)",
    "950": "oklch(28.2% .091 267.9)",
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's SIDEBAR navigation: only what this person may open."""
    home = {"items": [{"title": "Dashboard", "icon": "dashboard", "link": reverse("admin:index")}]}
    groups = [{"title": title, "items": [_item(*item) for item in items if _may_open(request, *item)]} for title, items in _MENU]
    return [home, *(group for group in groups if group["items"])]


def primary_colours(request: HttpRequest) -> dict[str, str]:
    """unfold's COLORS."""
    return dict(_BLUE)


def icon(request: HttpRequest) -> str:
    """unfold's SITE_ICON and favicon."""
    return static("outreach/icon.svg")


def styles(request: HttpRequest) -> str:
    """unfold's STYLES."""
    return static("outreach/admin.css")


def script(request: HttpRequest) -> str:
    """unfold's SCRIPTS."""
    return static("outreach/admin.js")


def _may_open(request: HttpRequest, _title: str, _icon: str, app: str, model: str) -> bool:
    return any(request.user.has_perm(f"{app}.{verb}_{model}") for verb in ("view", "change"))


def _item(title: str, icon: str, app: str, model: str) -> dict[str, str]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
