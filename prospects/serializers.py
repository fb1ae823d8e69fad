"""People and imports in the API's words."""

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from outreach import addresses
from prospects import cleaning
from prospects.models import Prospect, ProspectImport, ProspectStatus, RejectedRow

ERRORS_SHOWN = 100

_Given = TypeVar("_Given")
_Kept = TypeVar("_Kept")


class AddressField(serializers.CharField):
    """An address in the one form in which all are kept; the error says what is wrong with it."""

    def __init__(self, **options: Any) -> None:
        # Trimming is the normal form's business: it refuses invisible spaces instead of dropping them.
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        try:
            return addresses.normalise(super().to_internal_value(data))
        except addresses.InvalidAddress as error:
            raise serializers.ValidationError(f"Not an e-mail address: {error}.", code="invalid") from error


class LineField(serializers.CharField):
    """One line of text without control characters."""

    def to_internal_value(self, data: Any) -> str:
        return cleaning.text(super().to_internal_value(data))


class TagsField(serializers.ListField):
    """Tags without blanks and doubles, in the order given."""

    child = serializers.CharField(allow_blank=True)

    def to_internal_value(self, data: Any) -> list[str]:
        return _cleaned(cleaning.tags, super().to_internal_value(data))


@extend_schema_field({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}})
class AttributesField(serializers.Field[dict[str, cleaning.Scalar], Any, Any, Any]):
    """Custom fields: an object of plain values."""

    def to_internal_value(self, data: Any) -> dict[str, cleaning.Scalar]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("An object of attributes is expected.", code="not_an_object")
        return _cleaned(cleaning.attributes, data)

    def to_representation(self, value: dict[str, cleaning.Scalar]) -> Any:
        return value


class ProspectSerializer(serializers.ModelSerializer[Prospect]):
    """A person. `status` is told by facts; setting it records or takes back the fact behind it."""

    email = AddressField(max_length=254)
    first_name = LineField(max_length=150, required=False, allow_blank=True)
    last_name = LineField(max_length=150, required=False, allow_blank=True)
    company = LineField(max_length=200, required=False, allow_blank=True)
    source = LineField(max_length=200, required=False, allow_blank=True)  # type: ignore[assignment]  # our word, not DRF's
    tags = TagsField(required=False)
    attributes = AttributesField(required=False)
    status = serializers.ChoiceField(choices=ProspectStatus.choices, required=False)

    class Meta:
        model = Prospect
        fields = (
            "id",
            "email",
            "first_name",
            "last_name",
            "company",
            "tags",
            "attributes",
            "source",
            "status",
            "unsubscribe_token",
            "unsubscribed_at",
            "bounced_at",
            "complained_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = (
            "id",
            "unsubscribe_token",
            "unsubscribed_at",
            "bounced_at",
            "complained_at",
            "created_at",
            "updated_at",
        )


class ImportOptionsSerializer(serializers.Serializer[dict[str, Any]]):
    """What can be asked for in an import's address."""

    background = serializers.BooleanField(default=False, help_text="Answer at once with 202 and import later.")


class RejectedRowSerializer(serializers.ModelSerializer[RejectedRow]):
    """A row of the file that was not taken, and why."""

    class Meta:
        model = RejectedRow
        fields = ("line", "email", "code", "detail")


class ProspectImportSerializer(serializers.ModelSerializer[ProspectImport]):
    """An import and the account of its rows: rows = created + updated + unchanged + invalid + duplicate."""

    errors = serializers.SerializerMethodField(  # type: ignore[assignment]  # the contract's word, not DRF's
        help_text=f"The first {ERRORS_SHOWN} rows that were not taken."
    )

    class Meta:
        model = ProspectImport
        fields = (
            "id",
            "state",
            "file_name",
            "rows",
            "created",
            "updated",
            "unchanged",
            "invalid",
            "duplicate",
            "suppressed",
            "errors",
            "error_code",
            "error",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(RejectedRowSerializer(many=True))
    def get_errors(self, record: ProspectImport) -> list[dict[str, Any]]:
        first = record.rejected_rows.order_by("line", "pk")[:ERRORS_SHOWN]
        return list(RejectedRowSerializer(first, many=True).data)


def _cleaned(clean: Callable[[_Given], _Kept], value: _Given) -> _Kept:
    try:
        return clean(value)
    except cleaning.InvalidField as error:
        raise serializers.ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.", code="invalid") from error
