"""Does the site answer where AWS posts, refuse strangers there, and have events come lately?"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from notifications.models import EmailEvent
from notifications.setup import wishes
from notifications.setup.doctor import Line, Patient, fail, ok, warn
from notifications.setup.wishes import EVENTBRIDGE_PATH, SNS_PATH

_SECONDS = 8.0
_LATELY = timedelta(days=1)
_STRANGER = json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:000000000000:stranger"}).encode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is what we are looking for: AWS does not follow any."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Post as AWS would; returns the status and the error's code, or 0 and why there is no answer."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 (PUBLIC_BASE_URL is http or https)
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_SECONDS) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _code(error.read(10_000))
    except (OSError, http.client.HTTPException) as error:
        return 0, str(getattr(error, "reason", error))


def eventbridge(patient: Patient) -> Iterable[Line]:
    """Without the secret the answer must be 401."""
    if not patient.secrets_set:
        if not patient.topics:
            fix = "Set SES_WEBHOOK_SECRET (EventBridge) or SES_SNS_TOPIC_ARNS (SNS)."
            yield fail("webhook", "no webhook is configured: events are never accepted", fix)
        return
    yield from _reachability(patient)
    status, words = patient.post(patient.wish.base_url + EVENTBRIDGE_PATH, b"{}", {"Content-Type": "application/json"})
    yield _judge("EventBridge webhook", patient.wish.base_url + EVENTBRIDGE_PATH, status, words, wanted=401)


def sns(patient: Patient) -> Iterable[Line]:
    """To a message of a topic that nobody listed the answer must be 403."""
    if not patient.topics:
        return
    if not patient.secrets_set:
        yield from _reachability(patient)
    status, words = patient.post(patient.wish.base_url + SNS_PATH, _STRANGER, {"Content-Type": "text/plain; charset=UTF-8"})
    yield _judge("SNS webhook", patient.wish.base_url + SNS_PATH, status, words, wanted=403)


def last_event(patient: Patient) -> Iterable[Line]:
    """By each way that is configured."""
    routes = [EmailEvent.Route.EVENTBRIDGE] * patient.secrets_set + [EmailEvent.Route.SNS] * bool(patient.topics)
    received = EmailEvent.objects.order_by("-received_at").values_list("received_at", "event_type")
    for route in routes:
        # The newest events only: a route that has been silent for long would mean reading the whole inbox.
        recent = received.filter(route=route, received_at__gte=patient.now - timedelta(days=30)).first()
        yield _age(f"last event by {route}", recent, patient)


def _age(subject: str, recent: Any, patient: Patient) -> Line:
    fix = "Send to success@simulator.amazonses.com (manage.py smoke_test --to …): its events come within seconds."
    if not recent:
        return warn(subject, "none within 30 days", fix)
    words = f"{recent[1]} at {recent[0]:%Y-%m-%d %H:%M:%S} UTC"
    return warn(subject, words, fix) if patient.now - recent[0] > _LATELY else ok(subject, words)


def _reachability(patient: Patient) -> Iterable[Line]:
    for problem in wishes.reachability_problems(patient.wish.base_url):
        yield fail("public address", problem, "Set PUBLIC_BASE_URL to the public https origin of this site.")


def _judge(subject: str, url: str, status: int, words: str, *, wanted: int) -> Line:
    if status == wanted:
        return ok(subject, f"{url} answers, and refuses strangers with {status}")
    if status == 0:
        fix = "Is the site up, does its name resolve, is its certificate good? AWS needs to reach it as this machine tried to."
        return fail(subject, f"{url} does not answer: {words}", fix)
    if 300 <= status < 400:
        return fail(
            subject, f"{url} redirects ({status}): AWS follows none, every event is lost", "Serve this path without a redirect."
        )
    if status == 503:
        return fail(subject, f"{url} answers 503 ({words})", "Its environment differs from this one, or its database is away.")
    fix = "Does a proxy or firewall in front answer in the site's place? Does ALLOWED_HOSTS name this host?"
    return fail(subject, f"{url} answers {status} ({words}) instead of {wanted}", fix)


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["errors"][0]["code"])
    except (ValueError, LookupError, TypeError):
        return "not an answer of this site"
