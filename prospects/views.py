"""The API of people and imports: translate a request, make one domain call, translate back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, parsers, serializers, status
from rest_framework.exceptions import NotFound, ParseError, UnsupportedMediaType
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from outreach.authentication import actor
from prospects import csv_text, editing, importing, uploading
from prospects.filters import ProspectFilter
from prospects.models import Prospect, ProspectImport
from prospects.serializers import ImportOptionsSerializer, ProspectImportSerializer, ProspectSerializer

_FORM = "multipart/form-data"
_RAW = frozenset({"text/csv", "application/csv", "text/plain", "application/octet-stream"})


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


class _FormParser(parsers.MultiPartParser):
    """A form; one with hundreds of fields or files is a bad request and no server error."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except SuspiciousOperation as error:
            raise ParseError("The form has too many fields.") from error


class ImportProspects(APIView):
    """Import a CSV file: the body itself, or the field `file` of a form.

    Answers 200 with the account of its rows; for a large file, or with `?background=1`, 202: ask
    `/api/imports/{id}` then.
    """

    permission = "prospects.add_prospect"
    parser_classes = (_FormParser,)

    @extend_schema(
        parameters=[ImportOptionsSerializer],
        request={
            "text/csv": OpenApiTypes.BINARY,
            _FORM: {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]},
        },
        responses={200: ProspectImportSerializer, 202: ProspectImportSerializer},
    )
    def post(self, request: Request) -> Response:
        options = ImportOptionsSerializer(data=request.query_params)
        options.is_valid(raise_exception=True)
        path, name = _received(request)
        record = importing.accept_file(
            path,
            file_name=name,
            background=options.validated_data["background"],
            by=actor(request),
            now=timezone.now(),
        )
        waits = record.state in importing.UNFINISHED
        answer = ProspectImportSerializer(record).data
        return Response(answer, status=status.HTTP_202_ACCEPTED if waits else status.HTTP_200_OK)


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


def _received(request: Request) -> tuple[Path, str]:
    """The uploaded file, kept, and its name."""
    http, length = request._request, _content_length(request)
    uploading.refuse_too_large(length or 0)
    if http.content_type in _RAW:
        return uploading.keep(uploading.pieces_of(_body(http), length=length)), ""
    if http.content_type != _FORM:
        raise UnsupportedMediaType(http.content_type or "nothing")
    upload = request.FILES.get("file")
    _refuse_broken_off(http)
    if upload is None:
        raise uploading.NoFile
    return uploading.keep(upload.chunks()), upload.name or ""


def _content_length(request: Request) -> int | None:
    given = request.META.get("CONTENT_LENGTH") or ""
    return int(given) if given.isascii() and given.isdecimal() else None


def _body(http: HttpRequest) -> Any:
    """The body as a stream. Django reads CONTENT_LENGTH bytes, so none of a chunked one: that is the server's."""
    if "CONTENT_LENGTH" not in http.META and http.META.get("wsgi.input_terminated"):
        return http.META["wsgi.input"]
    return http


def _refuse_broken_off(http: HttpRequest) -> None:
    """Raises IncompleteUpload for a form whose sender hung up: its last file would be a part of itself."""
    stream = getattr(http, "_stream", None)
    if getattr(stream, "_pos", 0) < getattr(stream, "limit", 0):
        raise uploading.IncompleteUpload
