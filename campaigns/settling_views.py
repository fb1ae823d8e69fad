"""The API of what a person decides about unknown sends: one, some, or all of a campaign."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import reporting, settling
from campaigns.models import Campaign, CampaignStatus, EmailSend
from campaigns.serializers import (
    CampaignSerializer,
    DecidedSendSerializer,
    DecidedSerializer,
    DecisionOnManySerializer,
    DecisionSerializer,
    EmailSendSerializer,
)
from outreach.authentication import actor

_RESUME = "The campaign is paused: resume it (POST /api/campaigns/send), and they are sent."


class _Decision(APIView):
    permission = "campaigns.send_campaign"
    verb = staticmethod(settling.give_up)

    def _decide(self, request: Request, campaign: Campaign, sends: list[int], why: str) -> dict[str, Any]:
        decided = self.verb(sends, by=actor(request), why=why, now=timezone.now()) if sends else 0
        campaign.refresh_from_db()
        wait = self.verb is settling.retry and campaign.status == CampaignStatus.PAUSED and decided
        account = {"campaign": CampaignSerializer(campaign).data, "stats": reporting.stats(campaign.pk)}
        return account | {"decided": decided, "note": _RESUME if wait else ""}


class _DecisionOnOne(_Decision):
    @extend_schema(request=DecisionSerializer, responses=DecidedSendSerializer)
    def post(self, request: Request, pk: int, send: int) -> Response:
        row = get_object_or_404(EmailSend.objects.select_related("campaign"), campaign=pk, pk=send)
        asked = DecisionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        answer = self._decide(request, row.campaign, [row.pk], asked.validated_data["reason"])
        row.refresh_from_db()
        return Response(answer | {"send": EmailSendSerializer(row).data})


class _DecisionOnMany(_Decision):
    @extend_schema(request=DecisionOnManySerializer, responses=DecidedSerializer)
    def post(self, request: Request, pk: int) -> Response:
        campaign = get_object_or_404(Campaign, pk=pk)
        asked = DecisionOnManySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        named = asked.validated_data.get("sends")
        sends = settling.unknown_of(campaign) if named is None else _of_campaign(campaign, named)
        return Response(self._decide(request, campaign, sends, asked.validated_data["reason"]))


class RetrySend(_DecisionOnOne):
    """Send one unknown mail again. It may have left already: the person may get it twice."""

    verb = staticmethod(settling.retry)


class GiveUpSend(_DecisionOnOne):
    """Count one unknown mail as failed."""


@extend_schema_view(post=extend_schema(operation_id="campaigns_sends_retry_many"))
class RetrySends(_DecisionOnMany):
    """Send unknown mails of a campaign again, all or those named. Any may have left already."""

    verb = staticmethod(settling.retry)


@extend_schema_view(post=extend_schema(operation_id="campaigns_sends_give_up_many"))
class GiveUpSends(_DecisionOnMany):
    """Count unknown mails of a campaign as failed, all or those named."""


def _of_campaign(campaign: Campaign, sends: list[int]) -> list[int]:
    ours = set(EmailSend.objects.filter(campaign=campaign, pk__in=sends).values_list("pk", flat=True))
    if strangers := sorted(set(sends) - ours):
        raise serializers.ValidationError({"sends": [f"Send {strangers[0]} is not one of this campaign's."]})
    return sorted(ours)
