"""What machines ask all the time is answered before anything else looks at the request.

Load balancers, orchestrators and Prometheus ask by address, so the host is not in ALLOWED_HOSTS; and a health
check must not wait for a session. The same views stand in `outreach.urls`, for their names.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from outreach import health, metrics

VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": health.healthz,
    "/readyz": health.readyz,
    "/metrics": metrics.metrics,
}


def answer_probes(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer the three routes; everything else goes on."""

    def middleware(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path_info.rstrip("/"))
        return view(request) if view else get_response(request)

    return middleware
