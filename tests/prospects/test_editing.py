import pytest

from notifications.models import Suppression
from prospects import editing
from prospects.models import Prospect, ProspectStatus
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
