"""What a list of prospects can be narrowed by."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field

from prospects import cleaning
from prospects.models import Prospect, ProspectQuerySet, ProspectStatus


class _ManyTexts(forms.Field):
    """Every value of a repeated parameter, cleaned as it was when it was stored."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> list[str]:
        return [text for item in value or [] if (text := cleaning.text(item))]


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class _AllTags(django_filters.Filter):
    """People who carry every one of the tags."""

    field_class = _ManyTexts

    def filter(self, qs: QuerySet[Prospect], value: list[str]) -> QuerySet[Prospect]:
        return qs.filter(tags__contains=value) if value else qs


class ProspectFilter(django_filters.FilterSet):
    """`?status=active&q=acme&tag=vip&tag=berlin`."""

    status = django_filters.ChoiceFilter(choices=ProspectStatus.choices)
    q = django_filters.CharFilter(method="search", max_length=254, help_text="Part of address, name or company.")
    tag = _AllTags(help_text="Repeat it to ask for several tags at once.")

    class Meta:
        model = Prospect
        fields: tuple[str, ...] = ()

    def search(self, queryset: ProspectQuerySet, _name: str, value: str) -> ProspectQuerySet:
        return queryset.search(value)
