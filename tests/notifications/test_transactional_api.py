import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, connections, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from notifications import idempotency, recording
from notifications.models import IdempotencyKey, TransactionalEmail
from tests import events
from tests.factories import SuppressionFactory
from tests.notifications import outbox
from tests.notifications.outbox import BODY, INVITE
from tests.staff import member

pytestmark = pytest.mark.django_db

URL = "/v1/notifications/emails"
SECRET = "s" * 40


@pytest.fixture(autouse=True)
def _secret(settings, monkeypatch):
    settings.PROXY_SHARED_SECRET = SECRET
    # Its timer would publish a task into the next test.
    monkeypatch.setattr("notifications.waking.send_transactional_soon", lambda: None)


@pytest.fixture
def api():
    return APIClient(headers={"X-Proxy-Secret": SECRET})


def errors(response):
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


def test_a_mail_is_accepted_with_an_id_and_can_be_watched(api):
    response = api.post(URL, BODY | {"to": " Ada@Example.com "})

    assert response.status_code == 202
    mail = TransactionalEmail.objects.get()
    assert response.json() == {"id": mail.pk, "status": "queued", "url": f"{URL}/{mail.pk}"}
    assert response.headers["Location"] == f"{URL}/{mail.pk}"
    seen = api.get(f"{URL}/{mail.pk}").json()
    assert (seen["to"], seen["status"], seen["created_by"]) == ("ada@example.com", "queued", "proxy")
    assert seen["subject"] == "Grace Hopper invites you to issue credentials for Engines & Co"
    assert [fact["what"] for fact in seen["history"]] == ["accepted into the outbox"]


def test_the_status_and_the_history_tell_what_happened(api, now):
    mail = outbox.posted()
    outbox.send()
    mail.refresh_from_db()
    told = {"send_id": mail.send_id, "message_id": mail.message_id, "to": mail.email}
    events.post(events.envelope("delivery", **told))
    recording.apply_events(now=now)

    seen = api.get(f"{URL}/{mail.pk}").json()

    assert seen["status"] == "delivered"
    assert {"accepted into the outbox", "handed to SES", "accepted by SES", "delivered"} == {f["what"] for f in seen["history"]}
    assert [(e["event_type"], e["state"], e["route"]) for e in seen["events"]] == [("Delivery", "applied", "eventbridge")]


def test_a_subject_of_the_caller_is_used(api):
    api.post(URL, BODY | {"subject": "Just you & me"})

    assert TransactionalEmail.objects.get().subject == "Just you & me"


def test_every_missing_variable_is_named(api):
    response = api.post(URL, BODY | {"data": {"first_name": "Ada", "expires_on": None}})

    assert response.status_code == 400
    assert response.json()["type"] == "validation_error"
    names = ["data.invite_url", "data.inviter_name", "data.organization_name"]
    assert errors(response) == [("missing_variable", name) for name in names]
    assert not TransactionalEmail.objects.exists()


def test_deep_missing_variables_are_named_by_their_place(api):
    data = {"customer": {}, "items": [{"description": "x", "quantity": 1}], "total": 1, "receipt_number": 1}
    data |= {"paid_on": 1, "payment_method": 1, "receipt_url": 1}

    response = api.post(URL, {"to": "a@example.com", "template_name": "payment-receipt", "data": data})

    assert errors(response) == [("missing_variable", "data.customer.name"), ("missing_variable", "data.items.0.amount")]


@pytest.mark.parametrize(
    ("change", "code", "attr"),
    [
        ({"to": "not an address"}, "invalid", "to"),
        ({"to": "a@example.com,b@example.com"}, "invalid", "to"),
        ({"to": ["a@example.com"]}, "invalid", "to"),
        ({"to": None}, "null", "to"),
        ({"template_name": "../../etc/passwd"}, "UNKNOWN_TEMPLATE", "template_name"),
        ({"template_name": "issuer-onboarding-invite/"}, "UNKNOWN_TEMPLATE", "template_name"),
        ({"template_name": ""}, "blank", "template_name"),
        ({"data": []}, "not_a_dict", "data"),
        ({"data": None}, "null", "data"),
        ({"subject": ""}, "blank", "subject"),
        ({"subject": "two\nlines"}, "EMAIL_UNSENDABLE", None),
        ({"subject": "x" * 1000}, "max_length", "subject"),
        ({"data": INVITE | {"inviter_name": "Eve\r\nBcc: x@example.com"}}, "EMAIL_UNSENDABLE", None),
        ({"cc": "b@example.com"}, "unknown_field", "cc"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(api, change, code, attr):
    response = api.post(URL, BODY | change)

    assert response.status_code == 400
    assert errors(response) == [(code, attr)]
    assert not TransactionalEmail.objects.exists()


def test_an_unknown_template_is_answered_with_those_that_exist(api):
    detail = api.post(URL, BODY | {"template_name": "welcome"}).json()["errors"][0]["detail"]

    assert "issuer-onboarding-invite, password-reset, payment-receipt" in detail


@pytest.mark.parametrize(("reason", "status"), [("bounce", 409), ("complaint", 409), ("manual", 409), ("unsubscribe", 202)])
def test_whoever_is_suppressed_is_refused_but_not_who_left_the_outreach(api, reason, status):
    SuppressionFactory(email="ada@example.com", reason=reason)

    response = api.post(URL, BODY)

    assert response.status_code == status
    assert status == 202 or errors(response) == [("EMAIL_SUPPRESSED", "to")]
    assert TransactionalEmail.objects.count() == (status == 202)


def test_a_rehearsal_refuses_recipients_that_are_not_listed(api, settings):
    settings.EMAIL_MODE, settings.EMAIL_ALLOWED_RECIPIENTS = "ses", ["grace@example.com", "@example.org"]

    assert errors(api.post(URL, BODY)) == [("RECIPIENT_NOT_ALLOWED", "to")]
    assert api.post(URL, BODY).status_code == 409
    assert api.post(URL, BODY | {"to": "grace@example.com"}).status_code == 202
    assert api.post(URL, BODY | {"to": "who@example.org"}).status_code == 202


def test_in_log_mode_the_list_is_not_asked_because_nothing_leaves(api, settings):
    settings.EMAIL_MODE, settings.EMAIL_ALLOWED_RECIPIENTS = "log", ["grace@example.com"]

    assert api.post(URL, BODY).status_code == 202


def test_without_credentials_nothing_is_answered():
    assert APIClient().post(URL, BODY).status_code == 401
    assert APIClient().get(f"{URL}/1").headers["WWW-Authenticate"]


def test_people_need_the_models_permissions():
    viewer = member("view_transactionalemail", enforce_csrf_checks=False)
    mail = outbox.posted()

    assert viewer.get(f"{URL}/{mail.pk}").status_code == 200
    assert viewer.post(URL, BODY, content_type="application/json").status_code == 403


def test_adding_needs_no_other_permission():
    sender = member("add_transactionalemail", enforce_csrf_checks=False)

    assert sender.post(URL, BODY, content_type="application/json").status_code == 202
    assert sender.get(f"{URL}/{TransactionalEmail.objects.get().pk}").status_code == 403


@pytest.mark.parametrize("pk", ["0", "99999", "9" * 30])
def test_an_id_that_is_none_is_not_found(api, pk):
    assert api.get(f"{URL}/{pk}").status_code == 404


def test_a_trailing_slash_is_answered_too(api):
    assert api.post(f"{URL}/", BODY).status_code == 202


class TestIdempotency:
    def post(self, api, key, **changes):
        return api.post(URL, BODY | changes, headers={"Idempotency-Key": key})

    def test_the_same_key_and_body_get_the_same_answer_and_one_mail(self, api):
        first, second = self.post(api, "k"), self.post(api, "k")

        assert (second.status_code, second.json()) == (first.status_code, first.json()) == (202, first.json())
        assert second.headers["Location"] == first.headers["Location"]
        assert "Idempotency-Replayed" not in first.headers
        assert second.headers["Idempotency-Replayed"] == "true"
        assert TransactionalEmail.objects.count() == 1

    def test_another_spelling_of_the_same_json_is_the_same_body(self, api):
        first = api.post(URL, BODY, headers={"Idempotency-Key": "k"})
        second = api.post(URL, dict(reversed(BODY.items())), headers={"Idempotency-Key": "k"})

        assert second.json() == first.json()

    def test_the_answer_stays_the_same_when_the_mail_has_left(self, api):
        first = self.post(api, "k")
        outbox.send()

        assert self.post(api, "k").json() == first.json()

    def test_another_body_is_refused(self, api):
        self.post(api, "k")

        response = self.post(api, "k", to="bob@example.com")

        assert response.status_code == 409
        assert errors(response) == [("IDEMPOTENCY_KEY_REUSED", None)]
        assert TransactionalEmail.objects.count() == 1

    def test_keys_of_different_callers_are_different(self, api):
        sender = member("add_transactionalemail", enforce_csrf_checks=False)

        self.post(api, "k")
        sender.post(URL, BODY, content_type="application/json", headers={"Idempotency-Key": "k"})

        assert TransactionalEmail.objects.count() == 2

    def test_after_24_hours_the_key_is_free_again_and_swept(self, api, now):
        self.post(api, "k")

        with time_machine.travel(now + timedelta(hours=23, minutes=59), tick=False):
            self.post(api, "k")
        assert TransactionalEmail.objects.count() == 1
        with time_machine.travel(now + timedelta(hours=24, minutes=1), tick=False):
            self.post(api, "k")
        assert TransactionalEmail.objects.count() == 2

        assert idempotency.forget_expired(now=now + timedelta(hours=30)) == 0
        assert idempotency.forget_expired(now=now + timedelta(hours=49)) == 1
        assert not IdempotencyKey.objects.exists()

    def test_a_refused_recipient_is_an_answer_that_is_kept(self, api):
        row = SuppressionFactory(email="ada@example.com", reason="bounce")
        first = self.post(api, "k")
        row.delete()

        second = self.post(api, "k")

        assert (first.status_code, second.status_code) == (409, 409)
        assert first.json() == second.json()

    def test_a_mistake_leaves_the_key_free(self, api):
        assert self.post(api, "k", data={}).status_code == 400
        assert self.post(api, "k").status_code == 202

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
    def test_a_key_that_is_none_is_refused(self, api, key):
        response = self.post(api, key)

        assert response.status_code == 400
        assert errors(response) == [("IDEMPOTENCY_KEY_INVALID", None)]


@pytest.mark.django_db(transaction=True)
def test_a_key_whose_request_is_being_answered_is_in_flight(api):
    with transaction.atomic():
        idempotency._lock("service:proxy", "k")

        def ask(answers):
            answers.append(APIClient(headers={"X-Proxy-Secret": SECRET}).post(URL, BODY, headers={"Idempotency-Key": "k"}))
            connection.close()

        answers: list = []
        other = threading.Thread(target=ask, args=[answers])
        other.start()
        other.join()

    assert errors(answers[0]) == [("IDEMPOTENCY_IN_FLIGHT", None)]
    assert answers[0].status_code == 409
    assert api.post(URL, BODY, headers={"Idempotency-Key": "k"}).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_fifty_posts_at_once_with_one_key_are_one_mail():
    barrier, answers = threading.Barrier(50), []

    def ask():
        try:
            client = APIClient(headers={"X-Proxy-Secret": SECRET})
            barrier.wait(60)
            answers.append(client.post(URL, BODY, headers={"Idempotency-Key": "k"}))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert TransactionalEmail.objects.count() == 1
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    refused = [errors(answer) for answer in answers if answer.status_code == 409]
    assert accepted
    assert len(accepted) + len(refused) == 50
    assert all(answer == accepted[0] for answer in accepted)
    assert all(answer == [("IDEMPOTENCY_IN_FLIGHT", None)] for answer in refused)


@pytest.mark.django_db(transaction=True)
def test_a_mail_whose_cause_is_rolled_back_does_not_exist():
    with transaction.atomic():
        outbox.posted(now=timezone.now())
        transaction.set_rollback(True)

    assert not TransactionalEmail.objects.exists()
