"""Ada, who is in every table that can hold her, and what becomes of her."""

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from campaigns.models import EmailSend
from notifications import recording, suppressing
from notifications.models import Suppression, SuppressionLift
from prospects import erasing, unsubscribing
from prospects.models import ProspectImport, RejectedRow, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, ProspectImportFactory, SuppressionFactory

ADA = "ada.lovelace@example.com"


def erase(now, address=ADA):
    return erasing.erase_person(address, by="anna", why=f"{ADA} asked for it", now=now)


def everything_about_ada(now):
    """Ada in every table that can hold her; returns her send."""
    ada = ProspectFactory(email=ADA, first_name="Ada", last_name="Lovelace", attributes={"town": "London"})
    send = EmailSendFactory(accepted=True, prospect=ada, campaign=CampaignFactory(done=True))
    events.post(
        events.envelope("bounce", **events.about(send)),
        events.envelope("open", message_id=send.message_id, send_id=send.send_id, to=ADA.upper()),
        events.envelope("delivery", message_id="of-somebody-else", to=ADA.title(), tags=False),
    )
    recording.apply_events(now=now)
    EmailSend.objects.update(error=f"550 <{ADA}> unknown")
    unsubscribing.unsubscribe(
        ada.unsubscribe_token, method=Unsubscribe.Method.PAGE, campaign_key=send.campaign.key, user_agent="Firefox", now=now
    )
    suppressing.lift(SuppressionFactory(email="x@example.com"), by="anna", why="no", now=now)
    SuppressionLift.objects.create(
        email=ADA, reason="manual", suppressed_at=now, lifted_at=now, lifted_by="anna", why=f"{ADA} asked"
    )
    RejectedRow.objects.create(
        prospect_import=ProspectImportFactory(state=ProspectImport.State.DONE),
        line=2,
        email=ADA.title(),
        code="duplicate",
        detail=ADA,
    )
    LogEntry.objects.log_actions(User.objects.create_user("anna").pk, [ada], 2, change_message="changed")
    LogEntry.objects.create(
        user=User.objects.get(),
        content_type=ContentType.objects.get_for_model(Suppression),
        object_id="9",
        object_repr=f"{ADA} (bounce)",
        action_flag=1,
    )
    return send


def whole_database():
    """Every row of every table of ours, as text."""
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name != "django_migrations"]
        for name in tables:
            cursor.execute(f'SELECT t::text FROM "{name}" t')  # noqa: S608
            for (row,) in cursor.fetchall():
                yield name, row
        cursor.execute("SELECT encode(body, 'escape') FROM email_events")
        for (body,) in cursor.fetchall():
            yield "bodies", body
