"""Many workers, both routes and people who leave, all at once: the same result as one after the other."""

import random
import threading
import uuid
from functools import partial

import pytest
from django.db import connection

from campaigns.models import EmailSend
from notifications import recording
from notifications.models import EmailEvent, SoftBounce, Suppression
from prospects import unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory
from tests.stories import NOW, apply_all, mails_to_one_person, post, shapes, soft_stories, stories, world


@pytest.fixture(autouse=True)
def _three_in_a_row(settings):
    settings.SOFT_BOUNCE_LIMIT = 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(2))
def test_many_workers_and_both_routes_at_once_come_to_the_same_result(seed):
    rows = [send for _ in range(3) for send in sends_of_new_people()]
    told = [story for send in rows for story in stories(send)]
    told += [story for _ in range(3) for story in soft_stories(mails_to_one_person())]
    told = [(story, shape) for story in told for shape in shapes(story)]
    untouched = snapshot()
    random.Random(seed).shuffle(told)
    errors = at_once([partial(post, told[n::4]) for n in range(4)] + [partial(apply_until, threading.Event(), 7)] * 4)
    apply_all()
    together = world()

    restore(untouched)
    post(sorted(told, key=str))
    apply_all()

    assert errors == []
    assert world() == together


@pytest.mark.django_db(transaction=True)
def test_workers_and_people_who_leave_at_once_lose_nothing():
    rows = [send for _ in range(4) for send in sends_of_new_people()]
    told = [(story, "eventbridge") for send in rows for story in stories(send)]
    random.Random(11).shuffle(told)
    tokens = list(Prospect.objects.values_list("unsubscribe_token", flat=True))
    post(told)

    def leave():
        for token in random.Random(3).sample(tokens, len(tokens)):
            unsubscribing.unsubscribe(token, method=Unsubscribe.Method.PAGE, campaign_key=rows[0].campaign.key, now=NOW)

    errors = at_once([partial(apply_all, 7)] * 6 + [leave] * 2)
    apply_all()
    together = world()

    assert errors == []
    assert not EmailEvent.objects.filter(state="pending").exists()
    for send in rows:
        assert EmailSend.objects.get(pk=send.pk).status == "complained"
    EmailEvent.objects.update(state="pending", applied_at=None, outcome="")
    apply_all()
    assert world() == together


def at_once(jobs):
    """Run the jobs in threads, each with a connection of its own; returns what went wrong."""
    errors = []

    def run(job):
        try:
            job()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def apply_until(pause, limit):
    """Apply while others post: again and again, also when nothing waits at the moment."""
    for _ in range(40):
        recording.apply_events(now=NOW, limit=limit)
        pause.wait(0.02)


def snapshot():
    return list(EmailSend.objects.values()), list(Prospect.objects.values())


def restore(untouched):
    """Undo by hand whatever events did."""
    for model, rows in zip((EmailSend, Prospect), untouched, strict=True):
        for row in rows:
            model.objects.filter(pk=row["id"]).update(**{name: row[name] for name in row if name not in {"id", "status"}})
    for model in (EmailEvent, Suppression, Unsubscribe, SoftBounce):
        model.objects.all().delete()


def sends_of_new_people():
    campaign = CampaignFactory()
    people = [ProspectFactory(email=f"{uuid.uuid4().hex}@example.com") for _ in range(3)]
    first, *others = (EmailSendFactory(campaign=campaign, accepted=True, prospect=person) for person in people)
    return [first, *others, EmailSendFactory(campaign=campaign, unsettled=True)]
