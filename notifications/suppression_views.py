"""The suppression list's API."""

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import suppressing
from notifications.filters import SuppressionFilter
from notifications.models import Suppression
from notifications.serializers import LiftSerializer, SuppressionSerializer
from outreach.authentication import actor


class SuppressionList(generics.ListCreateAPIView[Suppression]):
    """Who must not be written to, newest first. Adding an address again keeps the stronger reason."""

    queryset = Suppression.objects.order_by("-suppressed_at", "-pk")
    serializer_class = SuppressionSerializer
    filterset_class = SuppressionFilter

    def perform_create(self, serializer: serializers.BaseSerializer[Suppression]) -> None:
        asked = serializer.validated_data
        words = {"reason": asked["reason"], "note": asked.get("note", "")}
        suppressing.suppress([asked["email"]], source=actor(self.request), now=timezone.now(), **words)
        serializer.instance = Suppression.objects.get(email=asked["email"])


class SuppressionDetail(generics.GenericAPIView[Suppression]):
    """Lifting: the reason comes in the body or as `?reason=`, and is kept with who lifted."""

    queryset = Suppression.objects.all()

    @extend_schema(request=LiftSerializer, parameters=[OpenApiParameter("reason", OpenApiTypes.STR)], responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:  # the path's
        suppression = self.get_object()
        asked = LiftSerializer(data=request.query_params.dict() | dict(request.data))
        asked.is_valid(raise_exception=True)
        suppressing.lift(suppression, by=actor(request), why=asked.validated_data["reason"], now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
