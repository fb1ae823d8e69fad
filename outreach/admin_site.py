"""The admin's site: unfold's, with odd addresses answered by 404."""

from typing import TYPE_CHECKING, Any

from django.contrib.admin.apps import AdminConfig
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse

if TYPE_CHECKING:  # unfold has no types
    from django.contrib.admin import AdminSite

    class UnfoldAdminSite(AdminSite):
        def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse: ...
else:
    from unfold.sites import UnfoldAdminSite


class OutreachAdminConfig(AdminConfig):
    """Tells Django which site `admin.site` is."""

    default_site = "outreach.admin_site.OutreachAdminSite"


class OutreachAdminSite(UnfoldAdminSite):
    """Where every ModelAdmin of ours is registered."""

    index_title = "Dashboard"

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """unfold's search of pages; it trusts `?page=` to be one of them."""
        try:
            return super().search(request, extra_context)
        except (ValueError, InvalidPage) as error:
            raise Http404 from error
