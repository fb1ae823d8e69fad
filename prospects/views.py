"""The API of people and imports: translate a request, make one domain call, translate back."""

from collections.abc import Iterator
from typing import Any, cast

from django.http import StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from outreach import csv_text, receiving
from outreach.authentication import actor
from prospects import editing, importing
from prospects.filters import ProspectFilter
from prospects.models import Prospect, ProspectImport
from prospects.serializers import ImportOptionsSerializer, ProspectImportSerializer, ProspectSerializer


class ProspectList(generics.ListCreateAPIView[Prospect]):
    """People, newest first."""

    queryset = Prospect.objects.order_by("-pk")
    serializer_class = ProspectSerializer
    filterset_class = ProspectFilter

    def perform_create(self, serializer: serializers.BaseSerializer[Prospect]) -> None:
        serializer.instance = editing.create_prospect(serializer.validated_data, by=actor(self.request), now=timezone.now())


class _ById:
    """Finds the object of the address; whatever is no id of ours is 404, never an error."""

    kwargs: dict[str, Any]

    def get_object(self) -> Any:
        given = self.kwargs["pk"]
        if not (given.isascii() and given.isdecimal()):  # int() would take 1_0 and other scripts' digits, too
            raise NotFound
        return super().get_object()  # type: ignore[misc]  # the generic view beside it


class ProspectDetail(_ById, generics.RetrieveUpdateDestroyAPIView[Prospect]):
    """One person. PATCH writes the given fields only; tags and attributes are replaced as a whole."""

    queryset = Prospect.objects.all()
    serializer_class = ProspectSerializer
    http_method_names = ("get", "patch", "delete", "head", "options")

    def perform_update(self, serializer: serializers.BaseSerializer[Prospect]) -> None:
        prospect = cast("Prospect", serializer.instance)
        serializer.instance = editing.change_prospect(
            prospect, serializer.validated_data, by=actor(self.request), now=timezone.now()
        )

    def perform_destroy(self, instance: Prospect) -> None:
        editing.delete_prospect(instance)


class ImportProspects(APIView):
    """Import a CSV file: the body itself, or the field `file` of a form.

    Answers 200 with the account of its rows; for a large file, or with `?background=1`, 202: ask
    `/api/imports/{id}` then.
    """

    permission = "prospects.add_prospect"
    parser_classes = (receiving.FormParser,)

    @extend_schema(
        parameters=[ImportOptionsSerializer],
        request={
            "text/csv": OpenApiTypes.BINARY,
            receiving.FORM: {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            },
        },
        responses={200: ProspectImportSerializer, 202: ProspectImportSerializer},
    )
    def post(self, request: Request) -> Response:
        options = ImportOptionsSerializer(data=request.query_params)
        options.is_valid(raise_exception=True)
        path, name = receiving.receive(request)
        record = importing.accept_file(
            path,
            file_name=name,
            background=options.validated_data["background"],
            by=actor(request),
            now=timezone.now(),
        )
        answer = ProspectImportSerializer(record).data
        if record.state not in importing.UNFINISHED:
            return Response(answer)
        return Response(answer, status.HTTP_202_ACCEPTED, headers={"Location": reverse("import", args=[record.pk])})


class ImportDetail(_ById, generics.RetrieveAPIView[ProspectImport]):
    """How far an import is, and the account of its rows."""

    queryset = ProspectImport.objects.all()
    serializer_class = ProspectImportSerializer


class ImportErrors(_ById, generics.GenericAPIView[ProspectImport]):
    """Every row that was not taken, as CSV: line, email, code, detail."""

    queryset = ProspectImport.objects.all()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        # `Accept: text/csv` is right here; only an error is rendered, and that is JSON as everywhere.
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, pk: str) -> StreamingHttpResponse:
        record = self.get_object()
        return StreamingHttpResponse(
            csv_text.write_lines(_rejected(record)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="import-{record.pk}-errors.csv"'},
        )


def _rejected(record: ProspectImport) -> Iterator[tuple[object, ...]]:
    names = ("line", "email", "code", "detail")
    yield names
    yield from record.rejected_rows.order_by("line", "pk").values_list(*names).iterator(chunk_size=2_000)
