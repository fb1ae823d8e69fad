"""Rows for tests; states are traits."""

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.models import Suppression, SuppressionReason
from prospects.models import Prospect, ProspectImport


class ProspectFactory(DjangoModelFactory):
    class Meta:
        model = Prospect

    class Params:
        active = factory.Trait()
        unsubscribed = factory.Trait(unsubscribed_at=factory.LazyFunction(timezone.now))
        bounced = factory.Trait(bounced_at=factory.LazyFunction(timezone.now))
        complained = factory.Trait(complained_at=factory.LazyFunction(timezone.now))

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    first_name = factory.Sequence(lambda n: f"Person{n}")


class ProspectImportFactory(DjangoModelFactory):
    class Meta:
        model = ProspectImport

    file_name = "people.csv"


class SuppressionFactory(DjangoModelFactory):
    class Meta:
        model = Suppression

    email = factory.Sequence(lambda n: f"suppressed{n}@example.com")
    reason = SuppressionReason.MANUAL
    suppressed_at = factory.LazyFunction(timezone.now)
    unsubscribed_at = factory.LazyAttribute(lambda row: row.suppressed_at if row.reason == "unsubscribe" else None)


class CampaignFactory(DjangoModelFactory):
    """`waiting=3` adds three people and their waiting rows."""

    class Meta:
        model = Campaign
        skip_postgeneration_save = True

    class Params:
        sending = factory.Trait(
            status=CampaignStatus.SENDING,
            started_at=factory.LazyFunction(timezone.now),
            loop_seen_at=factory.LazyFunction(timezone.now),
            enrolled_through=None,
        )
        paused = factory.Trait(status=CampaignStatus.PAUSED, started_at=factory.LazyFunction(timezone.now), enrolled_through=None)
        done = factory.Trait(
            status=CampaignStatus.SENT,
            started_at=factory.LazyFunction(timezone.now),
            finished_at=factory.LazyFunction(timezone.now),
            enrolled_through=None,
        )

    name = "Spring"
    subject = "Hello {{ first_name }}"
    body_html = "<p>Hello {{ first_name }}</p>"
    from_email = "hello@example.com"
    enrolled = None  # not counted: its rows are made by the factory below

    @factory.post_generation
    def waiting(self, create, count, **_kwargs):
        for _ in range(count or 0):
            EmailSendFactory(campaign=self)


class EmailSendFactory(DjangoModelFactory):
    class Meta:
        model = EmailSend

    class Params:
        accepted = factory.Trait(
            sent_at=factory.LazyFunction(timezone.now),
            call_started_at=factory.LazyFunction(timezone.now),
            message_id=factory.Sequence(lambda n: f"ses-message-{n}"),
        )
        unsettled = factory.Trait(
            unknown_at=factory.LazyFunction(timezone.now), call_started_at=factory.LazyFunction(timezone.now)
        )

    campaign = factory.SubFactory(CampaignFactory)
    prospect = factory.SubFactory(ProspectFactory)
    email = factory.LazyAttribute(lambda send: send.prospect.email)
