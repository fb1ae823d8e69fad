"""Who a campaign is for: one waiting row in the ledger for every eligible person, and none for anybody else.

Set-based, in batches by the person's id, resumable after any crash, and harmless to repeat: the
unique constraints on (campaign, prospect) and (campaign, address) let nobody in twice. Of a person who was erased
the hash of the address is left in the ledger; whoever comes back under it is not enrolled again.
"""

import time
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import F
from psycopg.errors import LockNotAvailable

from campaigns.models import Campaign
from notifications.models import DeliveryStatus
from outreach import keyed_hashes
from outreach.errors import DomainError
from prospects.models import Prospect

_BATCH = 20_000

# Whether the audience means the prospect `p`. The tags alone: who is not active is planned no more, but stays planned.
_MEANT = """(
    (cardinality(%(include)s::varchar[]) = 0 OR p.tags && %(include)s::varchar[]) AND NOT p.tags && %(exclude)s::varchar[]
)"""

_ENROL = (
    """
INSERT INTO email_sends ({columns})
SELECT %(campaign)s, p.id, p.email, '', '', ''
  FROM prospects p
 WHERE p.id > %(after)s AND (%(through)s::bigint IS NULL OR p.id <= %(through)s) AND p.status = 'active'
   AND {meant}
   AND NOT ((SELECT EXISTS (SELECT FROM person_requests WHERE kind = 'erase'))
            AND EXISTS (SELECT FROM email_sends gone WHERE gone.campaign_id = %(campaign)s AND gone.email = {hashed}))
 ORDER BY p.id
   FOR KEY SHARE OF p
ON CONFLICT DO NOTHING
""".replace("{columns}", "campaign_id, prospect_id, email, message_id, error, skip_reason")
    .replace("{hashed}", keyed_hashes.SQL.format(column="p.email"))
    .replace("{meant}", _MEANT)
)

# Whoever holds rows may wait for the campaign, which we hold: no waiting for them.
_LET_GO = """
WITH leaving AS (
    SELECT s.id
      FROM email_sends s JOIN prospects p ON p.id = s.prospect_id
     WHERE s.campaign_id = %(campaign)s AND s.status = 'queued' AND s.attempt = 1 AND s.call_started_at IS NULL AND NOT {meant}
       FOR UPDATE OF s NOWAIT
)
DELETE FROM email_sends s USING leaving WHERE s.id = leaving.id
""".replace("{meant}", _MEANT)


class RowsHeld(DomainError):
    """Some of the people who wait are being mailed, claimed or changed at this moment: try again."""

    code = "CAMPAIGN_BUSY"
    status = 503


def enrol(campaign_id: int, *, seconds: float) -> bool:
    """Enrol batch by batch for about `seconds`; returns whether everybody is enrolled."""
    until = time.monotonic() + seconds
    while not enrol_batch(campaign_id):
        if time.monotonic() > until:
            return False
    return True


@transaction.atomic
def enrol_batch(campaign_id: int, *, size: int = _BATCH) -> bool:
    """Enrol the next `size` people; returns whether everybody is enrolled.

    The batch and the mark of how far it came are one transaction: a crash repeats or loses nothing.
    """
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)
    if campaign.enrolled_through is None:
        return True
    through = _last_id_of_batch(campaign.enrolled_through, size)
    with connection.cursor() as cursor:
        cursor.execute(_ENROL, _parameters(campaign, through))
        enrolled = cursor.rowcount
    Campaign.objects.filter(pk=campaign_id).update(enrolled_through=through, enrolled=F("enrolled") + enrolled)
    return through is None


def let_go(campaign: Campaign) -> int:
    """Take whoever waits and is not meant by the audience (any more) out of the ledger; returns how many.

    What was sent, settled, skipped or is sent again stays: the record of who got the mail. The caller holds the
    campaign's row, and it does not send. Raises RowsHeld: roll back, so that nobody waits for us, and try again.
    """
    try:
        with connection.cursor() as cursor:
            # A million rows take longer than any statement of a web request may.
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(_LET_GO, _parameters(campaign, None))
            left = int(cursor.rowcount)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise RowsHeld from error
        raise
    Campaign.objects.filter(pk=campaign.pk).update(enrolled=F("enrolled") - left)
    return left


def let_go_late(campaign: Campaign) -> int:
    """The same before it sends again, for those whose call was under way when the audience changed, and came back unsent.

    Raises RowsHeld, also while such a call lasts: a minute and a half at most.
    """
    if calls_under_way(campaign):
        raise RowsHeld
    return let_go(campaign)


def calls_under_way(campaign: Campaign) -> bool:
    """Whether a mail of the campaign is with SES at this moment."""
    return campaign.sends.filter(status=DeliveryStatus.SENDING).exists()


def _last_id_of_batch(after: int, size: int) -> int | None:
    """The id that ends the next batch, or None when what is left fits into it."""
    ids = Prospect.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
    return next(iter(ids[size - 1 : size]), None)


def _parameters(campaign: Campaign, through: int | None) -> dict[str, Any]:
    return {
        "campaign": campaign.pk,
        "after": campaign.enrolled_through,
        "through": through,
        "include": campaign.audience.get("include_tags", []),
        "exclude": campaign.audience.get("exclude_tags", []),
        **keyed_hashes.parameters(),
    }
