"""Filters of the campaign and send lists."""

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from campaigns import watching_events
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.models import DeliveryStatus


class CampaignFilter(django_filters.FilterSet):
    """`?status=` and `?q=` (part of the name)."""

    status = django_filters.ChoiceFilter(choices=CampaignStatus.choices)
    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Campaign
        fields = ("status", "q")


class EmailSendFilter(django_filters.FilterSet):
    """`?status=`, `?q=` (part of the address), `?without_final_event=true` (accepted EVENT_GAP_HOURS ago, no word since)."""

    status = django_filters.ChoiceFilter(choices=DeliveryStatus.choices)
    q = django_filters.CharFilter(field_name="email", lookup_expr="icontains")
    without_final_event = django_filters.BooleanFilter(method="filter_without_final_event")

    class Meta:
        model = EmailSend
        fields = ("status", "q", "without_final_event")

    def filter_without_final_event(self, queryset: QuerySet[EmailSend], _name: str, value: bool) -> QuerySet[EmailSend]:
        overdue = watching_events.without_final_event(now=timezone.now())
        return queryset & overdue if value else queryset.exclude(pk__in=overdue.values("pk"))
