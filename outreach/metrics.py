"""`/metrics`: for whoever knows the proxy secret or asks from an allowed address. https://prometheus.io/docs/

The processes' own counters of this machine (`notifications.measuring`), what the database knows (`outreach.gauging`)
and how the components are. A worker on another machine serves its counters itself, on METRICS_PORT.
"""

import os
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from outreach import authentication, clients, gauging, health, heartbeats, metering

log = structlog.get_logger("outreach")

READY_HELP = {
    "outreach_ready": "Whether a component can do its work: 1 or 0, with the words of /readyz.",
    "outreach_seconds_since_alive": "Seconds since beat published a task, or a worker ran one of a queue.",
    "outreach_scrape_failed": "Whether a question to the database could not be answered at this scrape: its samples are missing.",
}


@csrf_exempt
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format of Prometheus, or OpenMetrics when the scraper prefers it."""
    if not _may_read(request):
        return _refusal()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_everything()), content_type=content_type)


def serve_here(port: int) -> WSGIServer:
    """Serve this machine's counters, from a thread: for workers where no web process shares their directory.

    Raises OSError when the port is taken.
    """
    server = make_server("", port, _worker_application, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def serve_in_worker(**_: Any) -> None:
    """When a worker is ready and METRICS_PORT is set. A taken port costs the numbers, not the mails."""
    if settings.METRICS_PORT:
        try:
            serve_here(settings.METRICS_PORT)
        except OSError as error:
            log.warning("metrics_port_taken", port=settings.METRICS_PORT, error=str(error))


def _may_read(request: HttpRequest) -> bool:
    given = request.META.get("HTTP_X_PROXY_SECRET") or _bearer(request.META.get("HTTP_AUTHORIZATION", ""))
    return _is_allowed(given, clients.address(request))


def _is_allowed(secret: str, client: clients.Address | None) -> bool:
    if secret:
        # Whoever says a wrong one is not let in by his address: the mistake must show.
        return authentication.is_proxy_secret(secret)
    return client is not None and any(client in network for network in settings.METRICS_ALLOWED_ADDRESSES)


def _bearer(header: str) -> str:
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _refusal() -> JsonResponse:
    detail = "Send the proxy secret (X-Proxy-Secret or Authorization: Bearer), or ask from METRICS_ALLOWED_ADDRESSES."
    error = {"code": "not_authenticated", "detail": detail, "attr": None}
    headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
    return JsonResponse({"type": "client_error", "errors": [error]}, status=401, headers=headers)


def _everything() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Families(_counters()))
    conditions = health.conditions()
    # A database that hangs would keep this scrape, and the next, for ever.
    samples, failed = gauging.answers(timezone.now()) if not conditions["database"].reason else ([], list(gauging.QUESTIONS))
    registry.register(_Families([*_condition_families(conditions, failed), *_families(samples)]))
    return registry


def _counters() -> list[Metric]:
    """Our processes' own: of all that share the directory, or of this one."""
    directory = os.environ.get(metering.VARIABLE)
    if not directory:
        return [metric for metric in REGISTRY.collect() if metric.name.startswith("outreach_")]
    with metering.locked(Path(directory)):
        return list(MultiProcessCollector(CollectorRegistry(), path=directory).collect())


def _condition_families(conditions: dict[str, health.Condition], failed: list[str]) -> Iterator[Metric]:
    ready, since, failures = (GaugeMetricFamily(name, text, labels=["name"]) for name, text in READY_HELP.items())
    for name, condition in conditions.items():
        ready.add_metric([name], float(not condition.reason))
        ages = condition.queues or ({name: condition.seconds_since} if name == heartbeats.BEAT else {})
        for source, age in ages.items():
            if age is not None:
                since.add_metric([source], age)
    for question in gauging.QUESTIONS:
        failures.add_metric([question], float(question in failed))
    yield from (ready, since, failures)


def _families(samples: Iterable[gauging.Sample]) -> Iterator[Metric]:
    """One family a name, in the order of the help texts; samples of a name have the same labels."""
    by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, named, value in samples:
        by_name.setdefault(name, []).append((named, value))
    for name, found in by_name.items():
        keys = list(found[0][0])
        family: Any = (
            CounterMetricFamily(name, gauging.COUNTER_HELP[name], labels=keys)
            if name in gauging.COUNTER_HELP
            else GaugeMetricFamily(name, gauging.HELP[name], labels=keys)
        )
        for labels, value in found:
            family.add_metric([labels[key] for key in keys], value)
        yield family


class _Families(Collector):
    """Families that were made already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Nothing: a scrape is no event."""


def _worker_application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    given = environ.get("HTTP_X_PROXY_SECRET") or _bearer(environ.get("HTTP_AUTHORIZATION", ""))
    # Asked directly: no proxy of ours stands before a worker.
    if not _is_allowed(given, clients.parse(environ.get("REMOTE_ADDR", ""))):
        start("401 Unauthorized", [("WWW-Authenticate", 'Bearer realm="metrics"')])
        return []
    registry = CollectorRegistry()
    registry.register(_Families(_counters()))
    encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
    start("200 OK", [("Content-Type", content_type)])
    return [encode(registry)]
