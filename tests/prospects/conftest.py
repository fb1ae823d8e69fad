"""What the tests of people share."""

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient


@pytest.fixture(autouse=True)
def import_directory(settings, tmp_path):
    """Kept files of this test alone."""
    settings.IMPORT_DIRECTORY = tmp_path / "imports"
    return settings.IMPORT_DIRECTORY


@pytest.fixture
def api(db):
    """The API as a staff member who may do everything."""
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("anna"))
    return client


@pytest.fixture
def api_with(db):
    """The API as a staff member with these permissions only."""

    def make(*codenames):
        user = User.objects.create_user("bob", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make
