"""The suppression list in the API's words."""

from typing import Any

from rest_framework import serializers

from notifications.models import Suppression, SuppressionReason
from outreach import addresses


class SuppressionSerializer(serializers.ModelSerializer[Suppression]):
    """An address that must not be written to; without a reason it is `manual`."""

    email = serializers.CharField(max_length=320)
    reason = serializers.ChoiceField(choices=SuppressionReason.choices, default=SuppressionReason.MANUAL)

    class Meta:
        model = Suppression
        fields = ("id", "email", "reason", "suppressed_at", "source", "note")
        read_only_fields = ("suppressed_at", "source")

    def validate_email(self, value: str) -> str:
        try:
            return addresses.normalise(value)
        except addresses.InvalidAddress as error:
            raise serializers.ValidationError(f"Not an e-mail address: {error}.", code="invalid") from error


class LiftSerializer(serializers.Serializer[dict[str, Any]]):
    """Why an address may be written to again."""

    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class SuppressionFileErrorSerializer(serializers.Serializer[Any]):
    """A row that was not taken."""

    line = serializers.IntegerField()
    email = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class SuppressionFileSerializer(serializers.Serializer[Any]):
    """The account of a file: `rows = added + changed + unchanged + invalid`, and its first 100 errors."""

    rows = serializers.IntegerField()
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    invalid = serializers.IntegerField()
    errors = SuppressionFileErrorSerializer(many=True)  # type: ignore[assignment]  # the contract's name for them
