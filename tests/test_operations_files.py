"""The dashboard and the alert rules: they parse, and every metric and label they name exists."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from outreach import gauging, health, metrics
from tests.outreach.test_metrics import SECRET

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "operations"
_METRIC = re.compile(r"\boutreach_\w+")
_SELECTOR = re.compile(r"(outreach_\w+)\{([^}]*)\}")


def rules():
    groups = yaml.safe_load((FOLDER / "alert-rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard():
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions():
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


def existing():
    """Every sample name that /metrics may show."""
    names = {*gauging.HELP, *metrics.READY_HELP, *(f"{name}_total" for name in gauging.COUNTER_HELP)}
    for metric in REGISTRY.collect():
        if metric.name.startswith("outreach_"):
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}[metric.type]
            names |= {metric.name + ending for ending in endings}
    return names


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_that_is_named_exists(expression):
    named = set(_METRIC.findall(expression))

    assert named
    assert named <= existing()
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_shown_or_watched():
    named = {name for expression in expressions() for name in _METRIC.findall(expression)}

    assert {name for name in existing() if not name.endswith(("_count", "_sum"))} <= named


@pytest.mark.django_db
def test_every_label_value_that_is_asked_for_is_shown(client, settings):
    settings.PROXY_SHARED_SECRET = SECRET
    settings.CAMPAIGN_DAILY_LIMIT = 10
    text = client.get("/metrics", headers={"x-proxy-secret": SECRET}).content.decode()
    # These show once there is something to say, or once another part is there.
    later = {'limit="account"', 'queue="transactional"'}

    for expression in expressions():
        for name, selector in _SELECTOR.findall(expression):
            for match in selector.split(","):
                if name != "outreach_alarm" and match not in later:
                    assert re.search(rf"^{name}{{[^}}]*{re.escape(match)}", text, re.MULTILINE), match


def test_a_rule_says_what_it_means_and_what_to_do():
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_the_alarms_of_the_application_are_all_there():
    named = {name for expression in expressions() for name in re.findall(r'outreach_alarm\{name="(\w+)"', expression)}

    sending = {"address_twice", "ledger_out_of_balance", "no_progress", "paused_by_itself", "unknown_share", "quota_nearly_used"}
    assert named == sending | {"no_events", "no_final_event"}


def test_the_panels_of_the_dashboard_stand_side_by_side():
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_the_components_have_names_that_the_rules_can_show():
    assert set(health._PROBES) == {"database", "redis", "worker", "beat"}
