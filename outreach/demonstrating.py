"""The data of `make demo`: an admin, people from a CSV file, a campaign to send and one under way."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from campaigns import editing, lifecycle
from campaigns.models import Campaign, CampaignStatus
from outreach import uploading
from outreach.errors import DomainError
from prospects import importing
from prospects.models import Prospect, ProspectImport

PEOPLE = settings.BASE_DIR / "demo" / "prospects.csv"
ADMIN = "admin"
_BY = "demo"

_WORDS = {
    "subject": "{{ first_name }}, an invitation from Harbour & Oak",
    "from_email": "hello@harbour-oak.example",
    "from_name": "Harbour & Oak",
    "reply_to": "answers@harbour-oak.example",
    "body_html": """\
<h1>Hello {{ first_name }},</h1>
<p>we build quiet furniture for busy rooms, and we would like to show it to {{ company }}.</p>
<p>On Thursday our workshop in {{ attributes.city }} is open from nine to six. Bring a colleague; the coffee is good.</p>
<p><a href="https://www.harbour-oak.example/workshop">See what is on show</a></p>
<p>Kind regards<br>Mara, Harbour &amp; Oak</p>
""",
}


class ForeignAdmin(DomainError):
    """This database has an admin already, whom the demo did not make: run it with a data directory of its own."""

    code = "DEMO_FOREIGN_ADMIN"


@dataclass(frozen=True)
class Demo:
    """What was made, for whoever runs the demo."""

    password: str
    people: int
    imported: ProspectImport | None
    under_way: Campaign


def prepare(*, password_file: Path | None, now: datetime) -> Demo:
    """Make what the demo needs and is not there yet; the admin keeps the password in `password_file`."""
    password = _admin_password(password_file)
    imported = None if Prospect.objects.exists() else _import_people(now)
    if not Campaign.objects.filter(status=CampaignStatus.DRAFT).exists():
        editing.create_campaign({"name": "Workshop day, a reminder", **_WORDS}, by=_BY)
    return Demo(password=password, people=Prospect.objects.count(), imported=imported, under_way=_under_way(now))


def _admin_password(password_file: Path | None) -> str:
    known = password_file is not None and password_file.is_file()
    password = password_file.read_text() if password_file and known else secrets.token_urlsafe(9)
    admin, created = User.objects.get_or_create(username=ADMIN, defaults={"is_staff": True, "is_superuser": True})
    if not (created or known):
        raise ForeignAdmin
    if not admin.check_password(password):
        admin.set_password(password)
        admin.save()
    if password_file:
        password_file.touch(mode=0o600)
        password_file.write_text(password)
    return password


def _import_people(now: datetime) -> ProspectImport:
    """Through the importer, as anybody's upload."""
    with PEOPLE.open("rb") as file:
        kept = uploading.keep(file)
    return importing.import_file(kept, file_name=PEOPLE.name, by=_BY, now=now)


def _under_way(now: datetime) -> Campaign:
    """A campaign that is sending; a new one when the last has finished."""
    if running := Campaign.objects.filter(status=CampaignStatus.SENDING).first():
        return running
    number = 1 + Campaign.objects.filter(created_by=_BY, name__contains="invitation").count()
    campaign = editing.create_campaign({"name": f"Workshop day, invitation {number}", **_WORDS}, by=_BY)
    lifecycle.start_campaign(campaign, by=_BY, now=now)
    return campaign
