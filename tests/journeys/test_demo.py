"""`manage.py up --demo`: mail goes to the simulated SES, and what becomes of it comes back by the webhook."""

import json
import os
import urllib.request

import psutil
import pytest

# Nothing of it may matter: it would send to an account, or through a proxy, elsewhere.
HOSTILE = {
    "EMAIL_MODE": "log",
    "AWS_PROFILE": "somebody-s-own",
    "AWS_ACCESS_KEY_ID": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "http://192.0.2.1:1",
    "AWS_ENDPOINT_URL_SESV2": "http://192.0.2.1:1",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "HTTP_PROXY": "http://192.0.2.1:1",
    "HTTPS_PROXY": "http://192.0.2.1:1",
    "SES_CONFIGURATION_SET": "theirs",
    "ALLOWED_HOSTS": "mail.example.com",
    "PUBLIC_BASE_URL": "https://mail.example.com",
}


@pytest.fixture(scope="module")
def demo(start_site):
    return start_site("--demo", SES_MAX_SEND_RATE="50", **HOSTILE)


def simulator_url(demo):
    line = next(line for line in demo.lines if line.startswith("SES is simulated at "))
    return line.split()[4].removesuffix("/ledger:").removesuffix("/ledger")


def ask(demo, path):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(simulator_url(demo) + path, timeout=30) as answer:
        return json.load(answer)


def campaign_of(demo):
    """The id of the campaign that the demo sends."""
    campaigns = demo.call("GET", "/api/campaigns")[1]["results"]
    return next(one["id"] for one in campaigns if "invitation" in one["name"])


def invitation(demo):
    return demo.call("GET", f"/api/campaigns/{campaign_of(demo)}")[1]["stats"]


def test_deliveries_opens_clicks_bounces_and_complaints_come_in(demo):
    seen = ("delivered", "opened", "clicked", "bounced", "complained", "delayed")

    demo.wait_for(lambda: all(invitation(demo)[name] for name in seen), 150)

    assert invitation(demo)["failed"] == 0
    ledger = ask(demo, f"/ledger?limit=1&tag=campaign_id:{campaign_of(demo)}")
    assert ledger["most_to_one_address"] == 1
    assert ledger["mails"][0]["configuration_set"] == "demo"
    assert ask(demo, "/events").get("given_up", 0) == 0


def test_the_mailbox_simulator_s_addresses_are_never_suppressed(demo):
    bounced = demo.wait_for(lambda: demo.call("GET", "/api/prospects?q=simulator.amazonses.com&status=bounced")[1]["results"], 60)

    assert all(one["email"].split("+")[0] in {"bounce", "suppressionlist"} for one in bounced)
    assert demo.call("GET", "/api/suppressions?q=simulator.amazonses.com")[1]["count"] == 0


def test_a_smoke_test_sees_its_mail_delivered(demo):
    code, lines = demo.smoke_test("success+journey@simulator.amazonses.com", "--until-delivered")

    assert (code, lines[-1]) == (0, "delivered"), lines
    told = [line.split()[2] for line in lines if " s  " in line]
    assert told in (["sent", "delivered"], ["delivered", "sent"])


def test_it_uses_the_same_person_again_and_leaves_no_tag_behind(demo):
    for _ in range(2):
        assert demo.smoke_test("success+again@simulator.amazonses.com", "--until-delivered")[0] == 0

    (person,) = demo.call("GET", "/api/prospects?q=success%2Bagain@simulator.amazonses.com")[1]["results"]
    assert (person["tags"], person["first_name"]) == ([], "Smoke")


def test_a_smoke_test_that_bounces_fails_and_says_why_and_so_does_the_next(demo):
    code, lines = demo.smoke_test("bounce+journey@simulator.amazonses.com")
    assert (code, lines[-1]) == (1, "smoke_test: bounced: smtp; 550 5.1.1 user unknown")

    code, lines = demo.smoke_test("bounce+journey@simulator.amazonses.com")
    assert code == 1
    assert len(lines) == 1
    assert "is bounced there and gets no mail" in lines[0]


def test_a_smoke_test_to_a_suppressed_address_says_so(demo):
    demo.call("POST", "/api/suppressions", {"email": "no@example.com", "note": "asked"})

    code, lines = demo.smoke_test("no@example.com")

    assert (code, len(lines)) == (1, 1)
    assert "no@example.com is on the suppression list there (manual)" in lines[0]


def test_a_smoke_test_with_the_wrong_secret_says_so(demo):
    code, lines = demo.smoke_test("success@simulator.amazonses.com", secret="x" * 40)

    assert (code, len(lines)) == (1, 1)
    assert "PROXY_SHARED_SECRET must be that installation's own" in lines[0]


def test_no_program_of_the_demo_knows_anything_of_the_person_s_own(demo):
    programs = [p for p in psutil.Process(demo.process.pid).children(recursive=True) if "celery" in " ".join(p.cmdline())]
    environments = [program.environ() for program in programs]

    assert environments
    for env in environments:
        assert not {name for name in env if name.startswith("AWS_") and HOSTILE.get(name) and env[name] == HOSTILE[name]}
        assert env["AWS_ENDPOINT_URL_SESV2"] == env["AWS_ENDPOINT_URL"] == simulator_url(demo)
        assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "HTTPS_PROXY"} & env.keys()
        assert env["ENV_FILE"] == os.devnull


@pytest.mark.stops_the_site
def test_ctrl_c_stops_the_simulator_after_the_workers_and_nothing_is_left(demo):
    family = psutil.Process(demo.process.pid).children(recursive=True)
    assert any("ses_simulator" in " ".join(one.cmdline()) for one in family)

    demo.stop()

    assert demo.process.returncode == 0
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert "stopped; the data is kept" in demo.lines
    assert not any("Traceback" in line or "EndpointConnectionError" in line for line in demo.lines)
