"""Pages of the API's lists."""

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """`?page=1&limit=50`, at most 500 a page: `{count, next, previous, results}`."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
