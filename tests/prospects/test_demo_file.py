"""The demo's people."""

import runpy
from pathlib import Path

import pytest
from django.utils import timezone

from outreach import addresses, uploading
from prospects import importing
from prospects.models import Prospect

DEMO = Path(__file__).parents[2] / "demo"
RESERVED = (".example", ".test", ".example.com", ".example.org", ".example.net", "simulator.amazonses.com")


def test_the_file_is_what_its_generator_makes():
    made = runpy.run_path(str(DEMO / "make_prospects.py"))["make_prospects"]()

    assert (DEMO / "prospects.csv").read_bytes() == b"\xef\xbb\xbf" + made.encode()


@pytest.mark.django_db
def test_the_demo_has_two_thousand_people_at_reserved_domains_and_some_dirt():
    path = uploading.keep([(DEMO / "prospects.csv").read_bytes()])

    record = importing.import_file(path, by="demo", now=timezone.now())

    assert (record.created, record.invalid, record.duplicate) == (2000, 10, 12)
    emails = Prospect.objects.values_list("email", flat=True)
    assert all(addresses.domain_of(email).endswith(RESERVED) for email in emails)
    assert Prospect.objects.filter(email__endswith="@xn--bcher-kva.example").exists()
    assert Prospect.objects.filter(email__endswith="@simulator.amazonses.com").count() == 10
