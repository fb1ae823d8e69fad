"""The campaign API: translate a request, make one domain call, translate back."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import editing, lifecycle, rehearsing, reporting
from campaigns.filters import CampaignFilter, EmailSendFilter
from campaigns.models import Campaign, EmailSend
from campaigns.serializers import (
    CampaignChangeSerializer,
    CampaignDetailSerializer,
    CampaignSerializer,
    EmailSendSerializer,
    PreviewSerializer,
    SendRequestSerializer,
    StatsSerializer,
    TestSendAnswerSerializer,
    TestSendSerializer,
)
from notifications import transports
from outreach.authentication import ProxyOnly, actor
from prospects.models import Prospect


def _detail(campaign: Campaign) -> dict[str, Any]:
    counts = reporting.stats(campaign.pk)
    return {"campaign": CampaignSerializer(campaign).data, "stats": StatsSerializer(counts | reporting.rates(counts)).data}


class CampaignList(generics.ListCreateAPIView[Campaign]):
    """Campaigns, newest first."""

    queryset = Campaign.objects.order_by("-pk")
    serializer_class = CampaignSerializer
    filterset_class = CampaignFilter

    def perform_create(self, serializer: serializers.BaseSerializer[Campaign]) -> None:
        serializer.instance = editing.create_campaign(serializer.validated_data, by=actor(self.request))


class CampaignDetail(generics.GenericAPIView[Campaign]):
    """One campaign with its account."""

    queryset = Campaign.objects.all()

    @extend_schema(responses=CampaignDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(_detail(self.get_object()))

    @extend_schema(request=CampaignChangeSerializer, responses=CampaignDetailSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        campaign = self.get_object()
        change = CampaignChangeSerializer(campaign, data=request.data, partial=True)
        change.is_valid(raise_exception=True)
        return Response(_detail(editing.change_campaign(campaign, change.validated_data, by=actor(request))))


class SendCampaign(APIView):
    """Start, resume, or re-run a campaign for people added since. Safe to repeat."""

    permission = "campaigns.send_campaign"

    @extend_schema(request=SendRequestSerializer, responses={202: CampaignDetailSerializer})
    def post(self, request: Request) -> Response:
        campaign = _requested(request)
        lifecycle.start_campaign(campaign, by=actor(request), now=timezone.now())
        return Response(_detail(campaign), status=status.HTTP_202_ACCEPTED)


class ContinueCampaign(APIView):
    """Wake the chunk loop of a sending campaign; for other services only."""

    permission_classes = (ProxyOnly,)

    @extend_schema(request=SendRequestSerializer, responses={202: CampaignDetailSerializer})
    def post(self, request: Request) -> Response:
        campaign = _requested(request)
        lifecycle.continue_campaign(campaign, now=timezone.now())
        return Response(_detail(campaign), status=status.HTTP_202_ACCEPTED)


class CampaignSends(generics.ListAPIView[EmailSend]):
    """Who got it, who did not, and why."""

    queryset = EmailSend.objects.all()
    serializer_class = EmailSendSerializer
    filterset_class = EmailSendFilter

    def get_queryset(self) -> QuerySet[EmailSend]:
        if getattr(self, "swagger_fake_view", False):
            return EmailSend.objects.none()
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return EmailSend.objects.filter(campaign=campaign).order_by("pk")


class PreviewCampaign(APIView):
    """The mail as one prospect would get it."""

    permission = "campaigns.view_campaign"

    @extend_schema(parameters=[OpenApiParameter("prospect", OpenApiTypes.INT)], responses=PreviewSerializer)
    def get(self, request: Request, pk: int) -> Response:
        campaign = get_object_or_404(Campaign, pk=pk)
        message = rehearsing.preview(campaign, prospect=_prospect(request.query_params.get("prospect")))
        headers = dict(message.headers)
        parts = {"to": message.to, "subject": message.subject, "html": message.html, "text": message.text}
        return Response(PreviewSerializer(parts | {"headers": headers}).data)


class TestCampaign(APIView):
    """Send one mail of the campaign to an address, through the real transport."""

    permission = "campaigns.send_campaign"

    @extend_schema(request=TestSendSerializer, responses=TestSendAnswerSerializer)
    def post(self, request: Request, pk: int) -> Response:
        campaign = get_object_or_404(Campaign, pk=pk)
        asked = TestSendSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        to, prospect = asked.validated_data["to"], _prospect(asked.validated_data.get("prospect"))
        outcome = rehearsing.send_test(campaign, to=to, prospect=prospect, transport=transports.configured())
        answer = {"status": str(outcome.verdict), "message_id": outcome.message_id, "error": outcome.error}
        return Response(TestSendAnswerSerializer(answer).data)


def _requested(request: Request) -> Campaign:
    asked = SendRequestSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return get_object_or_404(Campaign, pk=asked.validated_data["campaignId"])


def _prospect(pk: object) -> Prospect | None:
    if pk in (None, ""):
        return None
    if not str(pk).isascii() or not str(pk).isdigit() or len(str(pk)) > 18:
        raise serializers.ValidationError({"prospect": ["A prospect's id is a whole number."]})
    return get_object_or_404(Prospect, pk=int(str(pk)))
