"""The simulator's HTTP: the SES v2 API for boto3, and a few routes of its own for people and tests."""

import asyncio
import contextlib
import gc
import json
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web

from notifications.simulator import faults, refusing
from notifications.simulator.faults import Faults
from notifications.simulator.refusing import Refusal
from notifications.simulator.simulation import Options, Simulation
from notifications.simulator.sns import Signer, Sns

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# A whole mail of 40 MB in base64 within JSON, and something around it.
_LARGEST_BODY = 60_000_000
_SUPPRESSION = "/v2/email/suppression/addresses"


class Server:
    """The routes of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def application(self) -> web.Application:
        """The aiohttp application; its events are published while it runs."""
        app = web.Application(client_max_size=_LARGEST_BODY, handler_args={"access_log": None})
        app.add_routes(self._ses_routes() + self._own_routes())
        # What boto3 asks for and SES has, but not this one.
        app.router.add_route("*", "/{anything:.*}", _answered(_unknown))
        app.cleanup_ctx.append(self._publishing)
        return app

    def _ses_routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v2/email/outbound-emails", partial(self._send, self.simulation.send)),
            web.post("/v2/email/outbound-bulk-emails", partial(self._send, self.simulation.send_bulk)),
            web.get("/v2/email/account", _answered(self._account)),
            web.put(_SUPPRESSION, _answered(self._suppress)),
            web.get(_SUPPRESSION, _answered(self._list_suppressed)),
            web.get(_SUPPRESSION + "/{email}", _answered(self._get_suppressed)),
            web.delete(_SUPPRESSION + "/{email}", _answered(self._unsuppress)),
        ]

    def _own_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ledger", _answered(self._read_ledger)),
            web.delete("/ledger", _answered(self._clear)),
            web.get("/ledger/{message_id}", _answered(self._read_mail)),
            web.get("/events", _answered(self._read_events)),
            web.get("/faults", _answered(self._read_faults)),
            web.post("/faults", _answered(self._set_faults)),
            web.delete("/faults", _answered(self._clear_faults)),
            web.get("/sns/certificate", _answered(self._describe_certificate)),
            web.post("/sns/subscribe", _answered(partial(self._confirm, "SubscriptionConfirmation"))),
            web.post("/sns/unsubscribe", _answered(partial(self._confirm, "UnsubscribeConfirmation"))),
            web.get("/SimpleNotificationService-{digest}.pem", self._certificate),
        ]

    async def _publishing(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.simulation.publisher.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _send(self, accept: Callable[[Any], dict[str, Any]], request: web.Request) -> web.StreamResponse:
        """Faults before, acceptance in one go, faults after. Nothing is awaited per mail when all is well."""
        now = self.simulation.faults
        body = await request.read()
        if now.spares_requests:
            return _answer_of(accept, body)
        if (fault := faults.before(now, self.simulation.dice)) or now.latency:
            await asyncio.sleep(now.latency)
            if fault:
                return _fail(request, fault)
        answer = _answer_of(accept, body)
        if answer.status == 200 and (fault := faults.after(now, self.simulation.dice)):
            if fault != "stall":
                return _fail(request, fault)
            await asyncio.sleep(now.stall_seconds)
        return answer

    async def _account(self, _request: web.Request) -> web.Response:
        return _json(self.simulation.account.describe(self.simulation.faults))

    async def _suppress(self, request: web.Request) -> web.Response:
        body = _parsed(await request.read())
        self.simulation.suppression.put(body.get("EmailAddress"), body.get("Reason"))
        return _json({})

    async def _list_suppressed(self, request: web.Request) -> web.Response:
        query = request.query
        page = self.simulation.suppression.page(
            reasons=query.getall("Reason", []),
            start=query.get("StartDate", ""),
            end=query.get("EndDate", ""),
            page_size=query.get("PageSize", "1000"),
            token=query.get("NextToken", ""),
        )
        return _json(page)

    async def _get_suppressed(self, request: web.Request) -> web.Response:
        found = self.simulation.suppression.get(request.match_info["email"])
        return _json({"SuppressedDestination": found.whole()})

    async def _unsuppress(self, request: web.Request) -> web.Response:
        self.simulation.suppression.delete(request.match_info["email"])
        return _json({})

    async def _read_ledger(self, request: web.Request) -> web.Response:
        return _json(self.simulation.ledger.read(request.query))

    async def _read_mail(self, request: web.Request) -> web.Response:
        mail = self.simulation.ledger.one(request.match_info["message_id"])
        if mail is None:
            raise Refusal("NotFoundException", "No such mail is in the ledger (any more).")
        return _json(mail.whole())

    async def _clear(self, _request: web.Request) -> web.Response:
        return _json({"forgotten": self.simulation.clear()})

    async def _read_events(self, _request: web.Request) -> web.Response:
        return _json(self.simulation.publisher.summary())

    async def _read_faults(self, _request: web.Request) -> web.Response:
        return _json(faults.as_json(self.simulation.faults))

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            self.simulation.change_faults(_parsed(await request.read()))
        except faults.UnknownFault as error:
            raise refusing.bad_request(str(error)) from error
        return await self._read_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.simulation.faults = Faults()
        return await self._read_faults(request)

    async def _confirm(self, kind: str, _request: web.Request) -> web.Response:
        """Post what SNS posts when the URL is subscribed, or unsubscribed."""
        topic = self._topic()
        self.simulation.publisher.post(topic, partial(topic.confirmation, datetime.now(UTC), kind=kind), kind)
        return _json({"posted": kind, "token": topic.token, "topic_arn": topic.topic_arn})

    async def _describe_certificate(self, _request: web.Request) -> web.Response:
        topic = self._topic()
        url = f"{topic.certificate_base}/{topic.signer.certificate_name}"
        return _json({"url": url, "pem": topic.signer.certificate.decode()})

    async def _certificate(self, _request: web.Request) -> web.Response:
        signer = next((target.signer for target in self.simulation.options.targets if isinstance(target, Sns)), Signer())
        return web.Response(body=signer.certificate, content_type="application/x-pem-file")

    def _topic(self) -> Sns:
        for target in self.simulation.options.targets:
            if isinstance(target, Sns):
                return target
        raise Refusal("NotFoundException", "No SNS topic: start the simulator with --sns.")


async def serve(options: Options, listener: socket.socket, *, say: Callable[[str], None], stop: asyncio.Event) -> None:
    """Answer on `listener` until `stop` is set. `say` is told when it is ready, and of trouble with webhooks."""
    simulation = Simulation(options, say=say)
    runner = web.AppRunner(Server(simulation).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=1024).start()
    say(f"ready: http://{listener.getsockname()[0]}:{listener.getsockname()[1]}")
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


async def serve_until_signalled(options: Options, listener: socket.socket, *, say: Callable[[str], None]) -> None:
    """The same, until SIGINT or SIGTERM comes."""
    # A full ledger is a hundred thousand objects that stay: looking through them often costs a fifth of the speed.
    gc.set_threshold(50_000, 50, 100)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(options, listener, say=say, stop=stop)


def _answered(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
    """The handler, with refusals as SES answers them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            return _refused(refusal)

    return answer


async def _unknown(request: web.Request) -> web.Response:
    raise Refusal("UnknownOperationException", f"The simulator does not know {request.method} {request.path}.")


def _answer_of(accept: Callable[[Any], dict[str, Any]], body: bytes) -> web.Response:
    try:
        return _json(accept(_parsed(body)))
    except Refusal as refusal:
        return _refused(refusal)


def _fail(request: web.Request, fault: str) -> web.StreamResponse:
    if fault.startswith("drop"):
        if request.transport:
            request.transport.abort()
        # Nobody is there to read it.
        return web.Response(status=500)
    return _refused(refusing.broken(503 if "503" in fault else 500))


def _parsed(body: bytes) -> Any:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal("SerializationException", "The request is not valid JSON.") from None
    if not isinstance(found, dict):
        raise Refusal("SerializationException", "The request must be a JSON object.")
    return found


def _refused(refusal: Refusal) -> web.Response:
    answer = _json({"message": refusal.message})
    answer.set_status(refusal.status)
    answer.headers["x-amzn-ErrorType"] = refusal.code
    return answer


def _json(body: dict[str, Any]) -> web.Response:
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(body=json.dumps(body).encode(), headers=headers)
