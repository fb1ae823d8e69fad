"""What every page of the admin does the same way: long lists, rows that nobody edits, errors as messages."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.filters import SimpleListFilter
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from outreach.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList
else:  # unfold's own classes have no types
    from unfold.admin import ModelAdmin
    from unfold.views import ChangeList

__all__ = ["CappedPaginator", "ModelAdmin", "ReadOnlyAdmin", "StaffAdmin", "choice_filter", "label"]

M = TypeVar("M", bound=Model)

# Nobody leafs further; a count and an offset without a bound would read millions of rows.
LONGEST_LIST = 10_000
_FILTERING = ("", "__exact", "__in", "__isnull")


class CappedPaginator(Paginator[Any]):
    """Pages of the first 10,000 rows. One scan tells both how many there are and which are on a page."""

    template_name = "admin/pages_of_a_list.html"
    object_list: QuerySet[Any]

    @cached_property
    def _keys(self) -> list[Any]:
        return list(self.object_list.values_list("pk", flat=True)[: LONGEST_LIST + 1])

    @property
    def count(self) -> int:
        """How many rows can be leafed through."""
        return min(len(self._keys), LONGEST_LIST)

    @property
    def count_words(self) -> str:
        """The count as people read it."""
        return f"{self.count:,}"

    @property
    def has_more(self) -> bool:
        """Whether there are rows that only a search or a filter reaches."""
        return len(self._keys) > LONGEST_LIST

    def page(self, number: int | str) -> Page[Any]:
        """One page, read by its keys. Raises InvalidPage."""
        number = self.validate_number(number)
        begin = (number - 1) * self.per_page
        keys = self._keys[:LONGEST_LIST][begin : begin + self.per_page]
        return Page(self.object_list.filter(pk__in=keys), number, self)


class _ChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # A page number out of range has been refused above, unless there is one page only.
        self.result_list = self.paginator.page(self.page_num if self.multi_page else 1).object_list
        # Not counted; and with None unfold would offer "Show all" on every list.
        self.full_result_count = self.result_count
        self.model_admin.prepare_rows(self.result_list)  # type: ignore[attr-defined]  # every admin here is a StaffAdmin


class StaffAdmin(ModelAdmin[M]):
    """A list that stays fast over millions of rows, and pages on which the domain's errors become messages."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    sortable_by: ClassVar[Any] = ()
    actions: Any = None
    empty_value_display = "-"

    def find(self, queryset: QuerySet[M], text: str) -> QuerySet[M]:
        """Narrow a list to what was typed into its search box."""
        return queryset

    def prepare_rows(self, rows: QuerySet[M]) -> None:
        """Fetch, in one query for all of them, what the rows of a page show besides themselves."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _ChangeList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[M], search_term: str) -> tuple[QuerySet[M], bool]:
        text = search_term.strip()
        return (self.find(queryset, text) if text else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only a list's own filters: Django would let anyone who may view a model test any column, say an
        unsubscribe token, letter by letter."""
        try:
            self.opts.get_field(lookup.partition("__")[0])
        except FieldDoesNotExist:
            return True  # ignored later
        names = {_parameter(one) for one in self.list_filter}
        return lookup in {name + suffix for name in names for suffix in _FILTERING}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        return _answered(request, super().changeform_view, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return _answered(request, super().delete_view, object_id, extra_context)


class ReadOnlyAdmin(StaffAdmin[M]):
    """Rows to look at: only the system writes them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        # Nobody changed it, so there is no history to show.
        extra_context = (extra_context or {}) | {"show_history": False}
        return super().changeform_view(request, object_id, form_url, extra_context)


def choice_filter(field: str, options: Iterable[tuple[str, Any]], *, title: str = "") -> type[SimpleListFilter]:
    """A list's filter by one column of few values, which are known: Django would ask the table for them."""

    class ChoiceFilter(SimpleListFilter):
        parameter_name = field
        template = "admin/pills.html"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
            return list(options)

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    ChoiceFilter.title = title or field.replace("_", " ")
    return ChoiceFilter


def label(text: Any, tone: str = "quiet") -> SafeString:
    """A status as a small coloured label; tones: quiet, live, good, warn, bad."""
    return format_html('<span class="o-label o-{}">{}</span>', tone, text)


def _parameter(list_filter: Any) -> str:
    if isinstance(list_filter, type) and issubclass(list_filter, SimpleListFilter):
        return str(list_filter.parameter_name)
    return str(list_filter)


def _answered(request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any) -> HttpResponse:
    try:
        return view(request, *args, **kwargs)
    except DomainError as error:
        messages.error(request, error.detail)
        return HttpResponseRedirect(request.get_full_path())
