"""All routes. Nothing here redirects: a redirect loses a webhook's or a one-click post's body."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from outreach import probing
from outreach.tokens import StaffTokenRefreshView, StaffTokenView

urlpatterns = [
    *[path(route.lstrip("/"), view) for route, view in probing.VIEWS.items()],
    path("", RedirectView.as_view(url="/admin/")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", include("outreach.password_resets")),
    path("admin/", admin.site.urls),
    path("api/token", StaffTokenView.as_view(), name="token"),
    path("api/token/refresh", StaffTokenRefreshView.as_view(), name="token-refresh"),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("", include("prospects.urls")),
    path("", include("campaigns.urls")),
    path("", include("notifications.urls")),
]

handler400 = "outreach.answers.bad_request"
handler404 = "outreach.answers.not_found"
handler500 = "outreach.answers.server_error"
