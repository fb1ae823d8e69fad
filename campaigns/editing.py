"""Changing a campaign's words and audience. While it sends, every recipient gets the same."""

import time
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from campaigns import enrolling, lifecycle
from campaigns.models import EDITABLE, Campaign, CampaignStatus

log = structlog.get_logger("campaigns")

# Claims and noes hold the rows of a campaign for milliseconds.
_PATIENCE = 5.0
_REMEDIES = {
    CampaignStatus.SENDING: "pause it first",
    CampaignStatus.SENT: "people have got its words, make a new one",
}


def create_campaign(fields: dict[str, Any], *, by: str) -> Campaign:
    """A new draft."""
    return Campaign.objects.create(**fields, created_by=by)


def change_campaign(campaign: Campaign, fields: dict[str, Any], *, by: str) -> Campaign:
    """Apply what PATCH asks for: a new status (draft or paused) first, then the words.

    With another audience, whoever waits and is not meant any more leaves the ledger; the next start plans the rest.
    Raises WrongStatus when the words are frozen or the status cannot become that, and RowsHeld; then nothing changes.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _change(campaign, fields, by=by)
        except enrolling.RowsHeld:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@transaction.atomic
def _change(campaign: Campaign, fields: dict[str, Any], *, by: str) -> Campaign:
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    words = dict(fields)
    match words.pop("status", None):
        case CampaignStatus.PAUSED:
            lifecycle.pause_campaign(campaign, by=by)
        case CampaignStatus.DRAFT:
            lifecycle.return_to_draft(campaign, by=by)
    if words:
        _write(campaign, words, by=by)
    return campaign


@transaction.atomic
def delete_campaign(campaign: Campaign) -> None:
    """Delete a draft that never started. Raises WrongStatus for any other: the record of who got a mail stays."""
    locked = Campaign.objects.select_for_update().filter(pk=campaign.pk).first()
    if locked and locked.started_at is not None:
        raise lifecycle.WrongStatus("It has been sent to people: the record of who got it cannot be deleted.")
    if locked:
        locked.delete()


def _write(campaign: Campaign, words: dict[str, Any], *, by: str) -> None:
    if campaign.status not in EDITABLE:
        remedy = _REMEDIES[CampaignStatus(campaign.status)]
        raise lifecycle.WrongStatus(f"A campaign that is {campaign.status} cannot be changed: {remedy}.")
    audience = campaign.audience
    for name, value in words.items():
        setattr(campaign, name, value)
    campaign.save(update_fields=[*words, "updated_at"])
    if campaign.audience != audience:
        # Asked first: a call that ends meanwhile may bring its row back after we have looked for it.
        under_way = enrolling.calls_under_way(campaign)
        left = enrolling.let_go(campaign)
        if under_way:
            Campaign.objects.filter(pk=campaign.pk).update(let_go_before_start=True)
        words = {"campaign_id": campaign.pk, "by": by, "left": left}
        transaction.on_commit(partial(log.info, "campaign_audience_changed", **words))
