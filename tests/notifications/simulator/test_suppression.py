"""The account's suppression list through boto3."""

from datetime import UTC, datetime, timedelta

import pytest


def put(ses, *names, reason="BOUNCE"):
    for name in names:
        ses.put_suppressed_destination(EmailAddress=f"{name}@example.com", Reason=reason)


def test_an_address_is_put_found_and_taken_off(ses):
    put(ses, "ada")

    found = ses.get_suppressed_destination(EmailAddress="ada@example.com")["SuppressedDestination"]
    assert (found["EmailAddress"], found["Reason"]) == ("ada@example.com", "BOUNCE")
    assert abs(found["LastUpdateTime"] - datetime.now(UTC)) < timedelta(minutes=5)
    ses.delete_suppressed_destination(EmailAddress="ada@example.com")
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.get_suppressed_destination(EmailAddress="ada@example.com")


def test_what_is_not_there_cannot_be_taken_off(ses):
    with pytest.raises(ses.exceptions.NotFoundException, match="does not exist on your suppression list"):
        ses.delete_suppressed_destination(EmailAddress="nobody@example.com")


def test_addresses_have_to_be_named_in_their_own_case(ses):
    ses.put_suppressed_destination(EmailAddress="Ada@example.com", Reason="COMPLAINT")

    with pytest.raises(ses.exceptions.NotFoundException):
        ses.get_suppressed_destination(EmailAddress="ada@example.com")


def test_addresses_with_odd_letters_survive_the_way_there(ses):
    for address in ("a+b/c%d@example.com", "o'hara&co=1@example.com"):
        ses.put_suppressed_destination(EmailAddress=address, Reason="BOUNCE")

        assert ses.get_suppressed_destination(EmailAddress=address)["SuppressedDestination"]["EmailAddress"] == address


def test_the_list_comes_in_pages_and_by_reason(ses):
    put(ses, *[f"b{n:02}" for n in range(25)])
    put(ses, "c1", "c2", reason="COMPLAINT")

    pages = []
    query = {"PageSize": 10}
    while True:
        page = ses.list_suppressed_destinations(**query)
        pages.append([one["EmailAddress"] for one in page["SuppressedDestinationSummaries"]])
        if "NextToken" not in page:
            break
        query["NextToken"] = page["NextToken"]
    assert [len(page) for page in pages] == [10, 10, 7]
    assert len({one for page in pages for one in page}) == 27
    assert len(ses.list_suppressed_destinations(Reasons=["COMPLAINT"])["SuppressedDestinationSummaries"]) == 2


def test_the_list_is_bounded_by_time(ses):
    put(ses, "ada")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    assert len(ses.list_suppressed_destinations(EndDate=tomorrow)["SuppressedDestinationSummaries"]) == 1
    assert ses.list_suppressed_destinations(StartDate=tomorrow)["SuppressedDestinationSummaries"] == []


def test_nonsense_is_a_bad_request(ses):
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.put_suppressed_destination(EmailAddress="nobody", Reason="BOUNCE")
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.put_suppressed_destination(EmailAddress="a@example.com", Reason="DISLIKE")
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.list_suppressed_destinations(PageSize=5_000)
    with pytest.raises(ses.exceptions.InvalidNextTokenException):
        ses.list_suppressed_destinations(NextToken="%%%")
