"""The calls to SES' list: as botocore knows them, and over HTTP as boto3 asks."""

import boto3
import pytest
from botocore.stub import Stubber

from notifications import suppression_syncing
from notifications.transports.ses_suppressions import ListUnavailable, SesSuppressions
from tests.notifications.account_list import reasons
from tests.notifications.ses_stub import Stub, answer, error

pytestmark = pytest.mark.django_db


@pytest.fixture
def ses():
    client = boto3.client("sesv2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        pauses = []
        stub.list = SesSuppressions("us-east-1", client=client, pause=pauses.append)
        stub.pauses = pauses
        yield stub


def test_pages_follow_each_other_at_a_gentle_pace(ses, now):
    row = {"EmailAddress": "A@example.com", "Reason": "BOUNCE", "LastUpdateTime": now}
    ses.add_response(
        "list_suppressed_destinations", {"SuppressedDestinationSummaries": [row], "NextToken": "t"}, {"PageSize": 1000}
    )
    ses.add_response("list_suppressed_destinations", {}, {"PageSize": 1000, "NextToken": "t"})

    assert [[one.address for one in page] for page in ses.list.pages()] == [["A@example.com"], []]
    assert ses.pauses == [1.1]


def test_putting_and_deleting_name_the_address_as_it_is(ses):
    ses.add_response("put_suppressed_destination", {}, {"EmailAddress": "A@example.com", "Reason": "BOUNCE"})
    ses.add_response("delete_suppressed_destination", {}, {"EmailAddress": "A@example.com"})
    ses.add_client_error("delete_suppressed_destination", "NotFoundException", http_status_code=404)

    ses.list.put("A@example.com", "BOUNCE")
    assert ses.list.delete("A@example.com")
    assert not ses.list.delete("B@example.com")
    ses.assert_no_pending_responses()


def test_a_missing_permission_is_named(ses):
    ses.add_client_error("list_suppressed_destinations", "AccessDeniedException", http_status_code=403)

    with pytest.raises(ListUnavailable, match="allow ses:ListSuppressedDestinations"):
        list(ses.list.pages())


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    stubs = []

    def answering(script):
        stubs.append(Stub(script))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", stubs[-1].url)
        return SesSuppressions("us-east-1"), stubs[-1]

    yield answering
    for stub in stubs:
        stub.close()


def test_a_page_is_read_over_http(endpoint, now):
    row = {"EmailAddress": "Ada@example.com", "Reason": "COMPLAINT", "LastUpdateTime": now.timestamp()}
    there, stub = endpoint(answer(200, {"SuppressedDestinationSummaries": [row]}))

    suppression_syncing.sync(there, now=now)

    assert (reasons(), stub.requests) == ({"ada@example.com": "complaint"}, 1)


def test_a_refusal_over_http_names_the_permission_and_is_not_repeated(endpoint, now):
    there, stub = endpoint(error(403, "AccessDeniedException", "User is not authorized"))

    with pytest.raises(ListUnavailable, match="allow ses:ListSuppressedDestinations"):
        suppression_syncing.sync(there, now=now)
    assert stub.requests == 1


def test_a_throttle_over_http_is_tried_again(endpoint, now):
    there, stub = endpoint(error(429, "TooManyRequestsException", "slow down"))

    with pytest.raises(ListUnavailable):
        suppression_syncing.sync(there, now=now)
    assert stub.requests == 5
