"""One person's mail of a campaign: rendered, with its headers and tags."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings

from campaigns import rendering
from campaigns.claiming import Claimed
from campaigns.models import Campaign, EmailSend, send_id
from notifications.messages import OutgoingMessage, message_tags, outreach_headers
from notifications.models import DeliveryStatus
from prospects.models import Prospect

SAMPLE = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "company": "Example Ltd",
    "attributes": {},
}
# No person has it: the page behind it answers neutrally.
_SAMPLE_TOKEN = UUID(int=0)
# What stands for the row's id in the tag of a mail that has none.
_REHEARSAL = "test"


def composer(campaign: Campaign) -> Callable[[Claimed], OutgoingMessage]:
    """A function from a claimed row to its message; the campaign's words are compiled once. Call it after the claim.

    The function raises UnsendableMessage for a row whose message SES would refuse.
    """
    template = _compiled(campaign)
    attempts = _repeated(campaign)
    envelope = _envelope(campaign)

    def compose(row: Claimed) -> OutgoingMessage:
        values = {
            "first_name": row.first_name,
            "last_name": row.last_name,
            "company": row.company,
            "attributes": row.attributes,
        }
        url = unsubscribe_url(row.unsubscribe_token, campaign.key)
        tag = send_id(campaign.key, row.id, attempts.get(row.id, 1))
        return _message(campaign, envelope, template, values, to=row.email, url=url, tag=tag)

    return compose


def compose_sample(campaign: Campaign, *, to: str, prospect: Prospect | None = None) -> OutgoingMessage:
    """The mail that a prospect (or a made-up person) would get, addressed to `to`; for previews and tests.

    Its unsubscribe link is the prospect's own only when the mail goes to the prospect.
    """
    values = SAMPLE if prospect is None else _values(prospect)
    token = prospect.unsubscribe_token if prospect and prospect.email == to else _SAMPLE_TOKEN
    url = unsubscribe_url(token, campaign.key)
    tag = f"{campaign.key}-{_REHEARSAL}"
    return _message(campaign, _envelope(campaign), _compiled(campaign), values, to=to, url=url, tag=tag)


def rehearsed_campaign(send_id: str) -> str:
    """The key of the campaign whose test mail has this tag; empty for a mail of the ledger and for what is none of ours."""
    key, _, which = send_id.rpartition("-")
    return key if which == _REHEARSAL else ""


def unsubscribe_url(token: UUID, campaign_key: str) -> str:
    """The public page on which this person says no, and through which campaign."""
    # Neither holds a character that a URL would need escaped.
    return f"{settings.PUBLIC_BASE_URL}/api/unsubscribe?token={token}&c={campaign_key}"


def _repeated(campaign: Campaign) -> dict[int, int]:
    """The attempts of rows that are sent again: their own tag tells their events from those of the first mail."""
    repeated = EmailSend.objects.filter(campaign=campaign, attempt__gt=1, status=DeliveryStatus.SENDING)
    return dict(repeated.values_list("pk", "attempt"))


def _values(prospect: Prospect) -> dict[str, Any]:
    return {name: getattr(prospect, name) for name in SAMPLE}


def _compiled(campaign: Campaign) -> rendering.CompiledTemplate:
    return rendering.compile_template(
        subject=campaign.subject,
        body_html=campaign.body_html,
        body_text=campaign.body_text,
        postal_address=settings.POSTAL_ADDRESS,
    )


def _envelope(campaign: Campaign) -> dict[str, Any]:
    """What is the same for every mail of a campaign."""
    return {
        "from_email": campaign.from_email or settings.SES_FROM,
        "from_name": campaign.from_name,
        "reply_to": (campaign.reply_to,) if campaign.reply_to else (),
        "template_name": f"campaign-{campaign.pk}",
        "configuration_set": settings.SES_CONFIGURATION_SET,
    }


def _message(
    campaign: Campaign,
    envelope: dict[str, Any],
    template: rendering.CompiledTemplate,
    values: dict[str, Any],
    *,
    to: str,
    url: str,
    tag: str,
) -> OutgoingMessage:
    rendered = template.render(values | {"email": to, "unsubscribe_url": url})
    return OutgoingMessage(
        to=to,
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        headers=outreach_headers(url),
        tags=message_tags(send_id=tag, campaign_id=campaign.pk, kind="outreach"),
        **envelope,
    )
