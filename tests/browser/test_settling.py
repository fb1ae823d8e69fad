"""Deciding about an unknown mail in a real browser: choose it in the list, say why, confirm."""

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import needs_chromium
from tests.browser.test_admin import browser_page, signed_in
from tests.factories import CampaignFactory, EmailSendFactory

__all__ = ["signed_in"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]


def test_an_unknown_mail_is_sent_again_from_the_list(live_server, signed_in, monkeypatch):
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *_: True)
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(done=True))

    with browser_page(signed_in) as page:
        page.goto(f"{live_server.url}/admin/campaigns/emailsend/?campaign={send.campaign_id}&status=unknown")
        page.locator("input.action-select").first.check()
        page.locator("select[name=action]").select_option(label="Send again …")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_text("This person may get the mail twice.")).to_be_visible()
        page.get_by_label("Why?").fill("asked them by phone")
        page.get_by_role("button", name="Send again, perhaps twice").click()
        expect(page.get_by_text("by anna: asked them by phone")).to_be_visible()

        assert (page.complaints, page.dialogs) == ([], [])

    send.refresh_from_db()
    assert (send.status, send.attempt) == ("queued", 2)
