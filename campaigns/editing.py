"""Changing a campaign's words. While it sends, every recipient gets the same."""

from typing import Any

from django.db import transaction

from campaigns import lifecycle
from campaigns.models import EDITABLE, Campaign, CampaignStatus

_REMEDIES = {
    CampaignStatus.SENDING: "pause it first",
    CampaignStatus.SENT: "people have got its words, make a new one",
}


def create_campaign(fields: dict[str, Any], *, by: str) -> Campaign:
    """A new draft."""
    return Campaign.objects.create(**fields, created_by=by)


@transaction.atomic
def change_campaign(campaign: Campaign, fields: dict[str, Any], *, by: str) -> Campaign:
    """Apply what PATCH asks for: a new status (draft or paused) first, then the words.

    Raises WrongStatus when the words are frozen or the status cannot become that; then nothing changes.
    """
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    words = dict(fields)
    match words.pop("status", None):
        case CampaignStatus.PAUSED:
            lifecycle.pause_campaign(campaign, by=by)
        case CampaignStatus.DRAFT:
            lifecycle.return_to_draft(campaign, by=by)
    if words:
        _write(campaign, words)
    return campaign


@transaction.atomic
def delete_campaign(campaign: Campaign) -> None:
    """Delete a draft that never started. Raises WrongStatus for any other: the record of who got a mail stays."""
    locked = Campaign.objects.select_for_update().filter(pk=campaign.pk).first()
    if locked and locked.started_at is not None:
        raise lifecycle.WrongStatus("It has been sent to people: the record of who got it cannot be deleted.")
    if locked:
        locked.delete()


def _write(campaign: Campaign, words: dict[str, Any]) -> None:
    if campaign.status not in EDITABLE:
        remedy = _REMEDIES[CampaignStatus(campaign.status)]
        raise lifecycle.WrongStatus(f"A campaign that is {campaign.status} cannot be changed: {remedy}.")
    for name, value in words.items():
        setattr(campaign, name, value)
    campaign.save(update_fields=[*words, "updated_at"])
