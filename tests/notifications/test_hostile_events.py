"""Whatever JSON an event about a known mail holds: it is stored, applied, and breaks nothing for the others."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import recording, revisiting
from notifications.models import EmailEvent
from tests import events
from tests.factories import EmailSendFactory

pytestmark = pytest.mark.django_db

_ODD_WORDS = [
    "\x00",
    "\ud800",
    "Transient",
    "Permanent",
    "not-spam",
    "5.7.1",
    "delayed",
    "9" * 400,
    "2026-11-01T12:00:00Z",
    "1e999",
]
texts = st.sampled_from(_ODD_WORDS) | st.text(st.characters(codec=None), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["bounce", "complaint", "delivery", "delivery_delay", "subscription", "open", "click", "reject", "send"])
_FIELDS = (
    "bounceType bounceSubType bouncedRecipients complainedRecipients delayedRecipients recipients timestamp feedbackId "
    "complaintFeedbackType complaintSubType delayType link userAgent newTopicPreferences"
)
fields = st.sampled_from(_FIELDS.split())


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(names, st.dictionaries(fields, values, max_size=4), st.sampled_from(["eventbridge", "sns", "identity"]), values)
def test_no_event_about_a_known_mail_breaks_its_batch(name, part, shape, destination):
    with transaction.atomic():
        send = EmailSendFactory(accepted=True)
        told = events.envelope(name, **events.about(send), **part)
        told["detail"]["mail"]["destination"] = destination
        events.tell(told, shape=shape)
        settled = recording.apply_events(now=events.RECEIVED)
        revisiting.look_again(now=events.RECEIVED)
        after = list(EmailEvent.objects.values_list("state", "outcome"))
        transaction.set_rollback(True)

    assert settled == 1
    assert after[0][0] in {"applied", "ignored"}
    assert not after[0][1].startswith("error")
