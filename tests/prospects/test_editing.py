from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from notifications.models import Suppression
from prospects import editing, unsubscribing
from prospects.models import Prospect, ProspectStatus, Unsubscribe
from tests.factories import ProspectFactory

pytestmark = pytest.mark.django_db


def test_a_no_that_comes_in_at_this_moment_is_not_taken_back(now):
    seen = ProspectFactory(bounced=True)
    Prospect.objects.filter(pk=seen.pk).update(unsubscribed_at=now)

    with pytest.raises(editing.StatusChanged):
        editing.change_prospect(seen, {"status": ProspectStatus.ACTIVE}, by="anna", now=now)

    assert Prospect.objects.get().unsubscribed_at == now


def test_a_change_writes_nothing_over_what_others_wrote_meanwhile(now):
    seen = ProspectFactory()
    Prospect.objects.filter(pk=seen.pk).update(company="Acme", unsubscribed_at=now)

    changed = editing.change_prospect(seen, {"first_name": "Ada"}, by="anna", now=now)

    assert (changed.first_name, changed.company, changed.status) == ("Ada", "Acme", ProspectStatus.UNSUBSCRIBED)


@pytest.mark.parametrize("fields", [{}, {"first_name": "Ada"}, {"status": "active"}, {"status": "unsubscribed"}])
def test_somebody_who_was_deleted_meanwhile_is_gone(now, fields):
    seen = ProspectFactory(bounced=True)
    Prospect.objects.all().delete()

    with pytest.raises((editing.ProspectGone, editing.StatusChanged)):
        editing.change_prospect(seen, fields, by="anna", now=now)

    assert not Suppression.objects.exists()


def test_a_refused_change_leaves_no_part_of_itself(now):
    ProspectFactory(email="taken@example.com")
    person = ProspectFactory(company="Acme")
    fields = {"email": "taken@example.com", "company": "Other", "status": ProspectStatus.COMPLAINED}

    with pytest.raises(editing.ProspectExists):
        editing.change_prospect(person, fields, by="anna", now=now)

    person.refresh_from_db()
    assert (person.company, person.status) == ("Acme", ProspectStatus.ACTIVE)
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("fact", ["unsubscribed", "complained"])
def test_a_no_follows_a_person_to_a_new_address(now, fact):
    person = ProspectFactory(**{fact: True})

    editing.change_prospect(person, {"email": "new@example.com"}, by="anna", now=now)

    assert Suppression.objects.filter(email="new@example.com").exists()


def test_a_bounce_stays_with_the_old_address(now):
    person = ProspectFactory(bounced=True)

    editing.change_prospect(person, {"email": "new@example.com"}, by="anna", now=now)

    assert not Suppression.objects.filter(email="new@example.com").exists()


@pytest.mark.django_db(transaction=True)
def test_changing_and_unsubscribing_at_once_never_deadlock(now):
    person = ProspectFactory()

    def change(number):
        try:
            if number % 2:
                token = person.unsubscribe_token
                unsubscribing.unsubscribe(token, method=Unsubscribe.Method.PAGE, now=now)
            else:
                fields = {"first_name": f"Ada{number}", "status": ("unsubscribed", "bounced")[number // 2 % 2]}
                editing.change_prospect(Prospect.objects.get(), fields, by="anna", now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        for outcome in [pool.submit(change, number) for number in range(80)]:
            outcome.result()

    assert Suppression.objects.get().unsubscribed_at == now
