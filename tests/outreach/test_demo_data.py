"""The demo's data, and that made-up people never get real mail."""

import pytest
from django.core.management import call_command

from campaigns.models import Campaign
from prospects.models import Prospect


@pytest.mark.parametrize(
    "change",
    [{"PRODUCTION": True}, {"EMAIL_MODE": "ses", "SES_IS_SIMULATED": False}, {"PRODUCTION": True, "SES_IS_SIMULATED": True}],
)
@pytest.mark.django_db
def test_it_is_refused_where_mail_could_leave(settings, change):
    for name, value in change.items():
        setattr(settings, name, value)

    with pytest.raises(SystemExit, match="made-up people must not get mail"):
        call_command("demo_data")

    assert not Prospect.objects.exists()


@pytest.mark.django_db
def test_the_simulator_is_no_way_out(settings, tmp_path):
    settings.EMAIL_MODE, settings.SES_IS_SIMULATED = "ses", True
    settings.IMPORT_DIRECTORY = tmp_path

    call_command("demo_data", "--password-file", str(tmp_path / "password"))

    assert Prospect.objects.filter(email__startswith="bounce+", email__endswith="@simulator.amazonses.com").exists()
    assert Campaign.objects.filter(status="sending").count() == 1
