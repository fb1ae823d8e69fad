"""Transactional mail in the API's words."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications import tracking
from notifications.models import DeliveryStatus, EmailEvent, TransactionalEmail
from outreach import addresses


class TransactionalRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """A mail to one person: a template's name, and the values of its variables."""

    to = serializers.CharField(max_length=320)
    template_name = serializers.CharField(max_length=100)
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes fields out of the class, so `.data` stays
        required=False, default=dict, help_text="The template's variables; null prints nothing."
    )
    subject = serializers.CharField(required=False, max_length=900, help_text="Instead of the template's own.")

    def validate_to(self, value: str) -> str:
        try:
            return addresses.normalise(value)
        except addresses.InvalidAddress as error:
            raise serializers.ValidationError(f"Not an e-mail address: {error}.", code="invalid") from error

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Refuse unknown fields: ignoring `cc` or a misspelt `subject` would send another mail than was meant."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            words = f"Only {', '.join(self.fields)} are known."
            raise serializers.ValidationError({name: [serializers.ErrorDetail(words, code="unknown_field")] for name in unknown})
        return dict(super().to_internal_value(data))


class AcceptedSerializer(serializers.Serializer[dict[str, Any]]):
    """The id under which a mail can be watched."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    url = serializers.CharField()


class FactSerializer(serializers.Serializer[dict[str, Any]]):
    """Something that happened to a mail."""

    at = serializers.DateTimeField()
    what = serializers.CharField()


class MailEventSerializer(serializers.ModelSerializer[EmailEvent]):
    """An event of SES about a mail."""

    class Meta:
        model = EmailEvent
        fields = ("event_type", "occurred_at", "received_at", "route", "state", "outcome")


class TransactionalEmailSerializer(serializers.ModelSerializer[TransactionalEmail]):
    """A mail's status, and its history: what we know, and what SES told."""

    to = serializers.CharField(source="email")
    history = serializers.SerializerMethodField()
    events = serializers.SerializerMethodField()

    class Meta:
        model = TransactionalEmail
        fields = (
            "id",
            "to",
            "template_name",
            "subject",
            "status",
            "message_id",
            "error",
            "skip_reason",
            "created_by",
            "created_at",
            "sent_at",
            "delivered_at",
            "opened_at",
            "clicked_at",
            "bounced_at",
            "complained_at",
            "history",
            "events",
        )

    @extend_schema_field(FactSerializer(many=True))
    def get_history(self, email: TransactionalEmail) -> list[dict[str, Any]]:
        return [dict(FactSerializer(fact).data) for fact in tracking.history(email)]

    @extend_schema_field(MailEventSerializer(many=True))
    def get_events(self, email: TransactionalEmail) -> list[dict[str, Any]]:
        return list(MailEventSerializer(tracking.events_of(email), many=True).data)
