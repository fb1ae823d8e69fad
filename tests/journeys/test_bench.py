"""The benchmark's own machinery in small: nobody runs it every day, and a change of ours has broken it before."""

import re

import pytest
from django.conf import settings as site_settings
from django.db import connection

from tests.bench import sending, sink


@pytest.fixture
def sinks_environment(monkeypatch):
    """What the sink and its workers are told, forgotten again after the test."""
    for name in (*sending.ENVIRONMENT, "AWS_ENDPOINT_URL_SESV2", "SES_FROM"):
        monkeypatch.setenv(name, "hello@example.com")
    monkeypatch.setenv("DATABASE_URL", re.sub(r"/[^/]*$", f"/{connection.settings_dict['NAME']}", site_settings.DATABASE_URL))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("one_by_one", [{}, {"BENCH_ONE_BY_ONE": "1"}], ids=["bulk calls", "single calls"])
def test_its_workers_send_every_mail_once(sinks_environment, one_by_one):
    with sending.sink():
        sending.add_people(600)
        run = sending.pipeline(600, processes=2, rate=100_000.0, **one_by_one)
        told = sending.arrivals()

    assert (run.sent, told["mails"]) == (600, 600)
    assert (told["calls"] == 600) is bool(one_by_one)
    assert min(run.seconds, run.cpu, run.database_cpu, run.memory) > 0


def test_the_busiest_second_is_the_busiest_of_all_sliding_ones():
    assert sink.busiest_second([(0.0, 1), (0.5, 2), (1.0, 4), (1.4, 1), (3.0, 5)]) == 7
