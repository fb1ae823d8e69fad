"""One real mail through a running installation, watched until it is delivered. Talks HTTP only.

It uses what anybody may use, the API with the proxy secret, so it tests an installation elsewhere as
well as one on this machine, and whatever that one sends through: SES, the simulator, or a log.
"""

import http.client
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from outreach import connections

_POLL_SECONDS = 0.5
_HTTP_SECONDS = 20
_BODY = "<p>Hello {{ first_name }},</p><p>this mail was sent by <code>manage.py smoke_test</code>.</p>"
# In the order in which they are to be expected.
_FACTS = ("sent_at", "delayed_at", "delivered_at", "opened_at", "clicked_at", "bounced_at", "complained_at", "unsubscribed_at")
_FINAL = ("clicked_at", "bounced_at", "complained_at", "unsubscribed_at")
# What keeps a mail from ever being delivered, and how to say it.
_HOPELESS = {"failed": "SES refused it", "unknown": "the call to SES was lost, so nobody knows whether it left"}
_LOGGED = "EMAIL_MODE=log there: the mail was logged and counted as sent, but nothing left; set EMAIL_MODE=ses"

Send = Mapping[str, Any]


class SmokeTestFailed(Exception):
    """The mail was not delivered; the message is one line for a person."""


@dataclass(frozen=True)
class Watch:
    """How long to look, and whether to stop as soon as the mail is delivered."""

    seconds: float
    until_delivered: bool


class Api:
    """The installation's API. Whatever is wrong with an answer becomes SmokeTestFailed."""

    def __init__(self, base_url: str, secret: str) -> None:
        self.base_url, self._secret = base_url.rstrip("/"), secret
        # Our own machine is asked directly, whatever proxy the environment names; nobody is followed elsewhere.
        proxies = [urllib.request.ProxyHandler({})] if connections.is_loopback(base_url) else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def get(self, path: str) -> Any:
        """The answer to GET."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of a 2xx answer. Raises SmokeTestFailed for any other."""
        headers = {"X-Proxy-Secret": self._secret, "Content-Type": "application/json", "Accept": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data=data, method=method, headers=headers)  # noqa: S310 (http or https)
        try:
            with self._opener.open(request, timeout=_HTTP_SECONDS) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SmokeTestFailed(self._explain(error)) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise SmokeTestFailed(f"{self.base_url} cannot be reached ({reason}): is it running, is --base-url right?") from error
        except ValueError as error:
            raise SmokeTestFailed(f"{self.base_url}{path} does not answer in JSON: is that this application?") from error

    def _explain(self, error: urllib.error.HTTPError) -> str:
        where = error.headers.get("Location", "")
        if 300 <= error.code < 400:
            return f"{self.base_url} sends us on to {where or 'nowhere'}: give that origin as --base-url"
        said = _detail(error.read(100_000))
        if error.code in (401, 403):
            return f"{self.base_url} refuses the secret ({error.code}): PROXY_SHARED_SECRET must be that installation's own"
        return f"{self.base_url} answers {error.code}: {said or f'{error.reason}; is that this application?'}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def run(api: Api, *, to: str, sender: str, watch: Watch, say: Callable[[str], None]) -> None:
    """Send one mail to `to` (in normal form) and return when it was seen delivered. Raises SmokeTestFailed."""
    tag = f"smoke-test-{secrets.token_hex(4)}"
    prospect = _prospect(api, to, tag)
    try:
        _refuse_suppressed(api, to)
        campaign = _campaign(api, tag, sender)
        say(f"campaign {campaign} to {to} through {api.base_url}")
        api.call("POST", "/api/campaigns/send", {"campaignId": campaign})
        try:
            _Watching(api, campaign, watch, say).run()
        finally:
            _leave(api, campaign)
    finally:
        _untag(api, prospect, tag)


class _Watching:
    """Looks at the one send of a campaign, tells what is new, and decides."""

    def __init__(self, api: Api, campaign: int, watch: Watch, say: Callable[[str], None]) -> None:
        self.api, self.campaign, self.watch, self.say = api, campaign, watch, say
        self.began = time.monotonic()
        self.seen: set[str] = set()
        self.send: Send = {}

    def run(self) -> None:
        try:
            # One look at least, however little time there is.
            while True:
                time.sleep(min(_POLL_SECONDS, max(0.0, self._left())))
                self._look()
                if self._is_decided() or self._left() <= 0:
                    break
        except KeyboardInterrupt:
            if not self.send.get("delivered_at"):
                raise SmokeTestFailed("stopped before it was delivered") from None
        if not self.send.get("delivered_at"):
            raise SmokeTestFailed(self._missing())

    def _look(self) -> None:
        found = self.api.get(f"/api/campaigns/{self.campaign}/sends")["results"]
        self.send = found[0] if found else {}
        for fact in _FACTS:
            if self.send.get(fact) and fact not in self.seen:
                self.seen.add(fact)
                self._tell(fact)

    def _tell(self, fact: str) -> None:
        more = {"sent_at": f"message {self.send['message_id']}", "bounced_at": self.send["error"]}.get(fact, "")
        self.say(f"{time.monotonic() - self.began:6.1f} s  {fact.removesuffix('_at'):<12} {self.send[fact]}  {more}".rstrip())
        if fact == "delivered_at" and not self.watch.until_delivered:
            self.say(f"          watching for opens and clicks until {self.watch.seconds:g} s; Ctrl-C ends it")

    def _is_decided(self) -> bool:
        """Whether nothing is worth waiting for. Raises SmokeTestFailed when it will not be delivered."""
        send = self.send
        if not send:
            self._refuse_pause()
            return False
        if send["bounced_at"]:
            raise SmokeTestFailed(f"bounced: {send['error'] or 'no reason given'}")
        if send["message_id"].startswith("log-"):
            raise SmokeTestFailed(_LOGGED)
        if send["status"] == "skipped":
            raise SmokeTestFailed(f"skipped: {send['skip_reason'] or 'no reason given'}")
        if why := _HOPELESS.get(send["status"]):
            raise SmokeTestFailed(f"{why}: {send['error'] or 'no reason given'}")
        if not send["sent_at"]:
            self._refuse_pause()
        return bool(send["delivered_at"]) and (self.watch.until_delivered or any(send[fact] for fact in _FINAL))

    def _refuse_pause(self) -> None:
        campaign = self.api.get(f"/api/campaigns/{self.campaign}")["campaign"]
        if campaign["status"] == "paused":
            raise SmokeTestFailed(f"the campaign was paused: {campaign['pause_reason']}")
        if campaign["status"] == "sent" and not self.send:
            # It may have gone out since we looked, or before we looked at all.
            self._look()
        if campaign["status"] == "sent" and not self.send:
            raise SmokeTestFailed("the campaign has reached nobody: was the person changed or deleted meanwhile?")

    def _left(self) -> float:
        return self.began + self.watch.seconds - time.monotonic()

    def _missing(self) -> str:
        """What to check when time has run out."""
        after = f"not delivered within {self.watch.seconds:g} s:"
        if not self.send.get("sent_at"):
            return f"{after} it was never sent; is a worker running, do others take the pace? See {self.api.base_url}/readyz"
        if self.send.get("delayed_at"):
            return f"{after} the recipient's server puts it off; look again later, or choose another address"
        return (
            f"{after} SES took it ({self.send['message_id']}), but no Delivery event came back; check the configuration set's "
            "event destination, the webhook's secret or topic, and that SES can reach the webhook (manage.py ses_doctor)"
        )


def _prospect(api: Api, to: str, tag: str) -> dict[str, Any]:
    """The person with this address, tagged so that the campaign reaches nobody else. Raises SmokeTestFailed."""
    found = [one for one in api.get(f"/api/prospects?q={quote(to)}&limit=500")["results"] if one["email"] == to]
    if not found:
        person = {"email": to, "first_name": "Smoke", "last_name": "Test", "source": "smoke_test", "tags": [tag]}
        return dict(api.call("POST", "/api/prospects", person))
    if found[0]["status"] != "active":
        raise SmokeTestFailed(f"{to} is {found[0]['status']} there and gets no mail: use another address, e.g. with a +label")
    return dict(api.call("PATCH", f"/api/prospects/{found[0]['id']}", {"tags": [*found[0]["tags"], tag]}))


def _refuse_suppressed(api: Api, to: str) -> None:
    found = [one for one in api.get(f"/api/suppressions?q={quote(to)}&limit=500")["results"] if one["email"] == to]
    if found:
        raise SmokeTestFailed(f"{to} is on the suppression list there ({found[0]['reason']}): lift it, or use another address")


def _campaign(api: Api, tag: str, sender: str) -> int:
    words = {"name": f"Smoke test {tag[-8:]}", "subject": "Hello {{ first_name }}", "body_html": _BODY}
    made = api.call("POST", "/api/campaigns", {**words, "from_email": sender, "audience": {"include_tags": [tag]}})
    return int(made["id"])


def _leave(api: Api, campaign: int) -> None:
    """Let nothing leave after we have stopped looking."""
    with suppress(SmokeTestFailed):
        if api.get(f"/api/campaigns/{campaign}")["campaign"]["status"] == "sending":
            api.call("PATCH", f"/api/campaigns/{campaign}", {"status": "paused"})


def _untag(api: Api, prospect: dict[str, Any], tag: str) -> None:
    path = f"/api/prospects/{prospect['id']}"
    with suppress(SmokeTestFailed):
        api.call("PATCH", path, {"tags": [one for one in api.get(path)["tags"] if one != tag]})


def _detail(body: bytes) -> str:
    """The words of the API's errors (drf-standardized-errors), naming the field."""
    with suppress(ValueError, TypeError, KeyError):
        errors = json.loads(body)["errors"]
        return "; ".join(f"{one['attr']}: {one['detail']}" if one.get("attr") else str(one["detail"]) for one in errors)
    return ""
