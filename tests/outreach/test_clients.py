"""Whose request it is: believed from the right, and never an error."""

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from outreach import clients


def seen(settings, *, proxies=0, peer="192.0.2.1", forwarded=None):
    settings.TRUSTED_PROXY_COUNT = proxies
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return clients.network(RequestFactory().get("/", REMOTE_ADDR=peer, **headers))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, None, "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1"),  # nobody in front: the header is the client's own claim
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.5, 198.51.100.7", "198.51.100.7"),  # what stands left of our proxy's entry is a claim
        (2, "203.0.113.5, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (2, "198.51.100.7", "192.0.2.1"),  # fewer entries than proxies: not what our proxies write
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "198.51.100.7, ", "192.0.2.1"),
        (1, "198.51.100.7:51812", "198.51.100.7"),
        (1, "[2001:db8:1:2::7]:51812", "2001:db8:1:2::/64"),
    ],
)
def test_the_client_is_the_nth_from_the_right(settings, proxies, forwarded, expected):
    assert seen(settings, proxies=proxies, forwarded=forwarded) == expected


def test_one_ipv6_subscriber_is_one_client(settings):
    assert seen(settings, peer="2001:db8::1") == seen(settings, peer="2001:db8::ffff:2") == "2001:db8::/64"
    assert seen(settings, peer="2001:db8:0:1::1") == "2001:db8:0:1::/64"


def test_ipv4_on_a_dual_stack_socket_is_ipv4(settings):
    assert seen(settings, peer="::ffff:192.0.2.7") == "192.0.2.7"


def test_a_zone_is_no_part_of_the_client(settings):
    assert seen(settings, peer="fe80::1%eth0") == "fe80::/64"


def test_a_peer_without_address_has_one_name(settings):
    assert seen(settings, peer="") == "unknown"


@checking(deadline=None)
@given(text=st.text(max_size=60), peer=st.text(max_size=60))
def test_no_header_is_an_error(text, peer):
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=text)

    assert clients.network(request)
