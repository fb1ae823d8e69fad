"""Transactional mail's API: translate a request, make one domain call, translate back."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import idempotency, posting
from notifications.email_templates import MissingVariables
from notifications.idempotency import Answer
from notifications.models import TransactionalEmail
from notifications.transactional_serializers import (
    AcceptedSerializer,
    TransactionalEmailSerializer,
    TransactionalRequestSerializer,
)
from outreach.authentication import actor
from outreach.errors import DomainError

_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Any text of 1 to 255 printable characters; the same key with the same body gets the same answer for 24 hours.",
)


class TransactionalEmailList(generics.GenericAPIView[TransactionalEmail]):
    """Mail that a program asks for: to one person, from a file template."""

    queryset = TransactionalEmail.objects.all()

    @extend_schema(parameters=[_KEY], request=TransactionalRequestSerializer, responses={202: AcceptedSerializer})
    def post(self, request: Request) -> Response:
        """Accept a mail; a worker sends it within a second or so."""
        asked = TransactionalRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key")
        if key is None:
            answer = _post(asked.validated_data, by=actor(request))
        else:
            answer = idempotency.once(
                lambda: _post(asked.validated_data, by=actor(request)),
                caller=_caller(request),
                key=key.strip(),
                body=request.data,
                now=timezone.now(),
            )
        headers = {"Location": answer.body["url"]} if answer.status == 202 else {}
        replayed = {"Idempotency-Replayed": "true"} if answer.replayed else {}
        return Response(answer.body, answer.status, headers=headers | replayed)


class TransactionalEmailDetail(generics.RetrieveAPIView[TransactionalEmail]):
    """What became of a mail: its status, and everything that is known to have happened to it."""

    queryset = TransactionalEmail.objects.all()
    serializer_class = TransactionalEmailSerializer


def _post(asked: dict[str, Any], *, by: str) -> Answer:
    """The answer to a mail that was asked for. A recipient who must not be written to is one; bad data is none."""
    try:
        email = posting.post_template(**asked, by=by, now=timezone.now())
    except (posting.EmailSuppressed, posting.RecipientNotAllowed) as error:
        return Answer(error.status, _error(error))
    except MissingVariables as error:
        words = ErrorDetail("The template needs this variable.", code="missing_variable")
        raise ValidationError({f"data.{name}": [words] for name in error.names}) from error
    return Answer(202, {"id": email.pk, "status": email.status, "url": f"/v1/notifications/emails/{email.pk}"})


def _error(error: DomainError) -> dict[str, Any]:
    return {"type": "client_error", "errors": [{"code": error.code, "detail": error.detail, "attr": error.attr}]}


def _caller(request: Request) -> str:
    """Whose key it is: a person by id, a service by name, so that no name of one can be the other's."""
    return f"user:{request.user.pk}" if request.user.pk else f"service:{actor(request)}"
