"""The environment of the demo's programs: whatever a person has set, nothing leads away from this machine."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from outreach import connections, simulating

SITE, ENDPOINT = "http://127.0.0.1:8000", "http://127.0.0.1:4579"


def demo(**env):
    return simulating.environment(env, site_url=SITE, endpoint=ENDPOINT)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_CA_BUNDLE",
        "BOTO_CONFIG",
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "SES_FROM_EMAIL",
        "SES_SNS_TOPIC_ARNS",
        "ALLOWED_HOSTS",
    ],
)
def test_a_person_s_own_variable_is_taken_out(name):
    assert name not in demo(**{name: "theirs"})


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SESV2"])
def test_the_endpoint_is_ours_whatever_was_set(name):
    assert demo(**{name: "https://email.us-east-1.amazonaws.com"})[name] == ENDPOINT


def test_everything_else_is_kept():
    kept = {"PATH": "/bin", "DATABASE_URL": "postgres://x", "SES_MAX_SEND_RATE": "20", "PROXY_SHARED_SECRET": "s" * 40}

    assert kept.items() <= demo(**kept).items()


def test_every_demo_has_a_webhook_secret_of_its_own():
    assert demo()["SES_WEBHOOK_SECRET"] != demo()["SES_WEBHOOK_SECRET"]
    assert ":" not in demo()["SES_WEBHOOK_SECRET"]


def test_the_simulator_takes_another_port_when_its_own_is_busy():
    with closing(simulating.listen()) as first, closing(simulating.listen()) as second:
        assert simulating.address(first) != simulating.address(second)
        assert connections.is_loopback(simulating.address(second))


def test_the_command_posts_events_to_the_site():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        words = simulating.command(listener, manage=Path("manage.py"), site_url=SITE)

    assert words[words.index("--eventbridge") + 1] == f"{SITE}/api/webhooks/ses-events"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4579", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("", False),
        ("https://email.us-east-1.amazonaws.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("http://[broken", False),
    ],
)
def test_what_is_on_this_machine(url, local):
    assert connections.is_loopback(url) is local
