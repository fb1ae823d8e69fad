"""Campaigns and sends in the API's words."""

from typing import Any

from rest_framework import serializers

from campaigns import rendering
from campaigns.models import Campaign, CampaignStatus, EmailSend
from outreach import addresses


class AddressField(serializers.CharField):
    """One address in the normal form; the error says what is wrong with it."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            return addresses.normalise(text) if text else ""
        except addresses.InvalidAddress as error:
            raise serializers.ValidationError(f"Not an e-mail address: {error}.", code="invalid") from error


class AudienceSerializer(serializers.Serializer[dict[str, Any]]):
    """Tags: a person with any of `include_tags` and none of `exclude_tags`; empty is every active prospect."""

    include_tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=100)
    exclude_tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=100)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Refuse misspelt keys: ignoring one would write to everybody."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({str(unknown[0]): ["Only include_tags and exclude_tags are known."]})
        return dict(super().to_internal_value(data))


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    """A campaign's words, sender, audience and status."""

    from_email = AddressField(required=False, allow_blank=True, max_length=254)
    reply_to = AddressField(required=False, allow_blank=True, max_length=254)
    audience = AudienceSerializer(required=False)

    class Meta:
        model = Campaign
        fields = (
            "id",
            "name",
            "subject",
            "body_html",
            "body_text",
            "from_email",
            "from_name",
            "reply_to",
            "audience",
            "status",
            "pause_reason",
            "created_at",
            "updated_at",
            "started_at",
            "finished_at",
        )
        read_only_fields: tuple[str, ...] = ("status", "pause_reason", "created_at", "updated_at", "started_at", "finished_at")
        extra_kwargs = {
            # A line break in a body is content; trimming would change what was written.
            "body_html": {"trim_whitespace": False},
            "body_text": {"trim_whitespace": False},
        }

    def validate_from_name(self, value: str) -> str:
        if not value.isprintable():
            raise serializers.ValidationError("The name holds a line break or a control character.", code="invalid")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse words that could not be rendered, naming the field and the placeholder."""
        words = {name: attrs.get(name, getattr(self.instance, name, "")) for name in ("subject", "body_html", "body_text")}
        if found := rendering.find_problems(**words):
            raise serializers.ValidationError(
                {field: [serializers.ErrorDetail(p.detail, code=p.code) for p in listed] for field, listed in found.items()}
            )
        return attrs


class CampaignChangeSerializer(CampaignSerializer):
    """What PATCH takes: the words, and `status: draft | paused`."""

    status = serializers.ChoiceField(choices=[CampaignStatus.DRAFT, CampaignStatus.PAUSED], required=False)

    class Meta(CampaignSerializer.Meta):
        read_only_fields = ("pause_reason", "created_at", "updated_at", "started_at", "finished_at")


class StatsSerializer(serializers.Serializer[dict[str, float]]):
    """planned = waiting + in_flight + sent + failed + unknown + skipped; the rest counts people.

    The rates (0 to 1) are of mails that SES tried to deliver: `not_attempted` ones are in none of them.
    """

    planned = serializers.IntegerField()
    waiting = serializers.IntegerField()
    in_flight = serializers.IntegerField()
    sent = serializers.IntegerField()
    failed = serializers.IntegerField()
    unknown = serializers.IntegerField()
    skipped = serializers.IntegerField()
    delivered = serializers.IntegerField()
    delayed = serializers.IntegerField()
    opened = serializers.IntegerField()
    clicked = serializers.IntegerField()
    bounced = serializers.IntegerField()
    soft_bounced = serializers.IntegerField()
    complained = serializers.IntegerField()
    not_attempted = serializers.IntegerField()
    unsubscribed = serializers.IntegerField()
    bounce_rate = serializers.FloatField()
    complaint_rate = serializers.FloatField()


class CampaignDetailSerializer(serializers.Serializer[dict[str, Any]]):
    """A campaign and its account."""

    campaign = CampaignSerializer()
    stats = StatsSerializer()


class SendRequestSerializer(serializers.Serializer[dict[str, int]]):
    """Which campaign to start, resume or run again."""

    campaignId = serializers.IntegerField(min_value=1, max_value=2**63 - 1)  # noqa: N815 (the contract's name)


class EmailSendSerializer(serializers.ModelSerializer[EmailSend]):
    """Who got it, who did not, and why."""

    class Meta:
        model = EmailSend
        fields = (
            "id",
            "prospect",
            "email",
            "status",
            "message_id",
            "error",
            "skip_reason",
            "sent_at",
            "delivered_at",
            "delayed_at",
            "opened_at",
            "clicked_at",
            "bounced_at",
            "soft_bounced_at",
            "not_attempted_at",
            "complained_at",
            "unsubscribed_at",
        )
        read_only_fields = fields


class DecisionSerializer(serializers.Serializer[dict[str, Any]]):
    """Why an unknown send is sent again or given up; kept with who decided."""

    reason = serializers.CharField(max_length=1000)


class DecisionOnManySerializer(DecisionSerializer):
    """Which of a campaign's unknown sends the decision is about; all of them when it names none."""

    sends = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, min_length=1, max_length=10_000
    )


class DecidedSerializer(CampaignDetailSerializer):
    """How many sends the decision was about, what is to be done now, and the campaign's account."""

    decided = serializers.IntegerField()
    note = serializers.CharField()


class DecidedSendSerializer(DecidedSerializer):
    """The same, with the send."""

    send = EmailSendSerializer()


class PreviewSerializer(serializers.Serializer[dict[str, Any]]):
    """A mail as a person would get it."""

    to = serializers.CharField()
    subject = serializers.CharField()
    html = serializers.CharField()
    text = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())


class TestSendSerializer(serializers.Serializer[dict[str, Any]]):
    """Where a test mail goes, and as whose; no prospect means made-up values."""

    __test__ = False  # not a test, whatever pytest thinks of its name
    to = AddressField(max_length=254)
    prospect = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class TestSendAnswerSerializer(serializers.Serializer[dict[str, str]]):
    """What SES answered to a test mail."""

    __test__ = False
    status = serializers.CharField()
    message_id = serializers.CharField()
    error = serializers.CharField()
