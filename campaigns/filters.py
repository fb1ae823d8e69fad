"""Filters of the campaign and send lists."""

import django_filters

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
    """`?status=` and `?q=` (part of the address)."""

    status = django_filters.ChoiceFilter(choices=DeliveryStatus.choices)
    q = django_filters.CharFilter(field_name="email", lookup_expr="icontains")

    class Meta:
        model = EmailSend
        fields = ("status", "q")
