"""Tokens for staff. Attempts are limited per client, so that passwords cannot be guessed."""

from typing import Any

from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from outreach import banning

ATTEMPTS = banning.Limit("token", rate="10/m", block_seconds=300)


class StaffTokenView(TokenObtainPairView):
    """Exchange a staff member's name and password for an access and a refresh token.

    More than ten attempts a minute from one client are answered 429 for five minutes.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if wait := banning.seconds_to_wait(request._request, ATTEMPTS, now=timezone.now()):
            raise Throttled(wait=wait)


class StaffTokenRefreshView(TokenRefreshView):
    """Exchange a refresh token for a new access token."""
