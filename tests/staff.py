"""Staff at the admin, for tests."""

from django.contrib.auth.models import Permission, User
from django.test import Client

# Texts that would run if a page showed them as they are (SEC-06): elements, attributes, a template of ours.
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\"><svg/onload=alert(1)>",
    "javascript:alert(1)//",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "</pre><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "{{ 7|add:7 }}{% debug %}",
    '" x-init="alert(1)" x-data="',
    "<details open ontoggle=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;<b>",
    "\u202e<img src=x onerror=alert(1)>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<a href='javascript:alert(1)'>x</a>",
)
# What must then never be on a page: the openings of those, unescaped. (Our own pages have no inline scripts.)
DANGEROUS = (
    "<script>alert",
    "<img src=x",
    "<svg/onload",
    "<iframe srcdoc",
    "<details open",
    '" x-init="alert',
    "<style>*{",
    "<a href='java",
)


def superuser(**client):
    """A client signed in as somebody who may do everything."""
    return _signed_in(User.objects.create_superuser("anna", "anna@example.com"), client)


def member(*codenames, **client):
    """A client signed in as a member of staff with these permissions only."""
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    return _signed_in(user, client)


def words(response):
    """The messages that the next page would show."""
    return [str(message) for message in response.wsgi_request._messages]


def _signed_in(user, client):
    signed_in = Client(**client)
    signed_in.force_login(user)
    return signed_in
