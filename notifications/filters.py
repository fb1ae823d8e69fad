"""Filters of the suppression list."""

import django_filters

from notifications.models import Suppression, SuppressionReason


class SuppressionFilter(django_filters.FilterSet):
    """`?reason=` and `?q=` (part of the address)."""

    reason = django_filters.ChoiceFilter(choices=SuppressionReason.choices)
    q = django_filters.CharFilter(field_name="email", lookup_expr="icontains")

    class Meta:
        model = Suppression
        fields = ("reason", "q")
