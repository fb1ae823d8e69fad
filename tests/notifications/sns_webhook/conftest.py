"""A site that listens to one topic, and a host of certificates that answers as told."""

from datetime import timedelta

import pytest
from celery import current_app

from notifications import certificates, waking
from tests import sns_messages
from tests.sns_messages import SENT, TOPIC


@pytest.fixture
def host():
    """What the certificate host answers: a PEM file, or an error."""
    return {"answer": sns_messages.certificate(), "asked": []}


@pytest.fixture(autouse=True)
def _site(settings, monkeypatch, time_machine, host):
    def download(url):
        host["asked"].append(url)
        if isinstance(host["answer"], Exception):
            raise host["answer"]
        return host["answer"]

    time_machine.move_to(SENT + timedelta(seconds=1))
    settings.SES_SNS_TOPIC_ARNS = [TOPIC]
    monkeypatch.setattr(certificates, "kept", certificates.Certificates(download))
    monkeypatch.setattr(waking, "apply_events_soon", lambda: None)


@pytest.fixture(autouse=True)
def published(monkeypatch):
    calls = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: calls.append((name, options)))
    return calls
