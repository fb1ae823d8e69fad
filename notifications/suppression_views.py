"""The suppression list's API."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications import listing, suppressing, suppression_files
from notifications.filters import SuppressionFilter
from notifications.models import Suppression
from notifications.serializers import LiftSerializer, SuppressionFileSerializer, SuppressionSerializer
from outreach import csv_text, receiving
from outreach.authentication import actor


class SuppressionList(generics.ListCreateAPIView[Suppression]):
    """Who must not be written to, newest first. Adding an address again keeps the stronger reason."""

    queryset = Suppression.objects.order_by("-suppressed_at", "-pk")
    serializer_class = SuppressionSerializer
    filterset_class = SuppressionFilter

    @extend_schema(responses={201: SuppressionSerializer, 200: SuppressionSerializer})
    def post(self, request: Request) -> Response:
        """201 when that was news, 200 when the list knew it already."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        words = asked.validated_data
        email, note = words["email"], words.get("note", "")
        written = listing.put({email: note}, reason=words["reason"], source=actor(request), now=timezone.now())
        answer = self.get_serializer(Suppression.objects.get(email=email)).data
        return Response(answer, status=status.HTTP_201_CREATED if any(written) else status.HTTP_200_OK)


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


class ImportSuppressions(APIView):
    """Put a file of addresses on the list: the body itself (CSV), or the field `file` of a form.

    The columns are `email` and, as you like, `reason` (default manual) and `note`; a reason never becomes weaker.
    """

    permission = "notifications.add_suppression"
    parser_classes = (receiving.FormParser,)

    @extend_schema(
        request={
            "text/csv": OpenApiTypes.BINARY,
            receiving.FORM: {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            },
        },
        responses={200: SuppressionFileSerializer},
    )
    def post(self, request: Request) -> Response:
        path, _ = receiving.receive(request)
        account = suppression_files.import_file(path, by=actor(request), now=timezone.now())
        return Response(SuppressionFileSerializer(account).data)


class ExportSuppressions(APIView):
    """The whole list as CSV: email, reason, suppressed_at, source, note."""

    permission = "notifications.view_suppression"

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        # `Accept: text/csv` is right here; only an error is rendered, and that is JSON as everywhere.
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        return csv_text.attachment(suppression_files.export_rows(), name="suppressions.csv")
