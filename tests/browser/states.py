"""Every state of the unsubscribe page, reached as a person reaches it."""

from urllib.parse import urlencode

from django.db import OperationalError

STATES = ("ask", "done", "undone", "too_late", "kept", "unknown", "blocked", "unavailable", "too_large")


class Outage:
    """Stands in for `unsubscribing.unsubscribe` and fails while it is on."""

    def __init__(self, real):
        self.real, self.on = real, False

    def __call__(self, *args, **words):
        if self.on:
            raise OperationalError("PostgreSQL is away")
        return self.real(*args, **words)


class Site:
    """The page on a live server: one fresh link for every visit, and one whose no is an hour old."""

    def __init__(self, url, tokens, old_token, outage, settings):
        self.url, self.tokens, self.old_token, self.outage, self.settings = url, iter(tokens), old_token, outage, settings

    def link(self, token):
        return f"{self.url}/api/unsubscribe?{urlencode({'token': token, 'c': '0123456789ab'})}"

    def show(self, page, state):
        """Bring a page of the browser to this state."""
        getattr(self, f"_{state}")(page)
        return page

    def _ask(self, page):
        page.goto(self.link(next(self.tokens)))

    def _done(self, page):
        self._ask(page)
        page.locator("button[name=confirm]").click()
        page.locator("button[name=undo]").wait_for()

    def _undone(self, page):
        self._done(page)
        page.locator("button[name=undo]").click()
        page.locator("button[name=confirm]").wait_for()

    def _too_late(self, page):
        self._post(page, self.link(self.old_token), "undo", "1")

    def _kept(self, page):
        self._ask(page)
        self.outage.on = True
        page.locator("button[name=confirm]").click()
        page.get_by_role("status").wait_for()
        self.outage.on = False

    def _unavailable(self, page):
        self._ask(page)
        self.outage.on, limit = True, self.settings.UNSUBSCRIBE_SPOOL_MAX_BYTES
        self.settings.UNSUBSCRIBE_SPOOL_MAX_BYTES = 10
        page.locator("button[name=confirm]").click()
        page.locator("button[name=confirm]").wait_for(state="detached")
        self.outage.on, self.settings.UNSUBSCRIBE_SPOOL_MAX_BYTES = False, limit

    def _unknown(self, page):
        page.goto(f"{self.url}/api/unsubscribe?token=00000000-0000-0000-0000-000000000001")

    def _blocked(self, page):
        link = self.link(next(self.tokens))
        for _ in range(31):
            page.request.get(link)
        page.goto(link)

    def _too_large(self, page):
        self._post(page, f"{self.url}/api/unsubscribe", "x", "x" * 70_000)

    def _post(self, page, action, name, value):
        page.goto(f"{self.url}/api/unsubscribe")
        form = f'<form method="post" action="{action}"><button name="{name}" value="{value}">go</button></form>'
        page.set_content(form)
        with page.expect_navigation():
            page.get_by_role("button", name="go").click()
        page.get_by_role("heading").wait_for()
