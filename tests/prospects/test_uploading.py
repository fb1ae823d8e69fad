import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from prospects.models import Prospect, ProspectImport
from tests.prospects.sending import PEOPLE, URL, error, send, send_form

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("sender", [send, send_form])
def test_a_file_beyond_the_limit_is_refused_before_anything_is_written(api, settings, import_directory, sender):
    settings.IMPORT_MAX_BYTES = 50

    response = sender(api, PEOPLE)

    assert error(response) == (413, "BODY_TOO_LARGE")
    assert not Prospect.objects.exists()
    assert not import_directory.exists() or list(import_directory.iterdir()) == []


def test_a_body_larger_than_django_would_keep_in_memory_is_taken(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    assert send(api, PEOPLE).status_code == 200


def send_raw(api, body, **environ):
    """A request whose body is this stream, as a web server hands it over."""
    return api.request(REQUEST_METHOD="POST", PATH_INFO=URL, **{"CONTENT_TYPE": "text/csv", "wsgi.input": body} | environ)


def send_chunked(api, body):
    """A request without a length, as gunicorn hands it over."""
    return send_raw(api, body, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})


class Stream:
    """A body that never ends, or that breaks."""

    def __init__(self, read):
        self.read = self.readline = read


def breaking(error):
    def read(_size):
        raise error

    return Stream(read)


def test_a_chunked_body_is_taken(api):
    assert send_chunked(api, io.BytesIO(PEOPLE.encode())).json()["created"] == 1


def test_an_endless_body_is_cut_at_the_limit(api, settings, import_directory):
    settings.IMPORT_MAX_BYTES = 2_000_000

    assert error(send_chunked(api, Stream(lambda size: b"0" * size))) == (413, "BODY_TOO_LARGE")
    assert list(import_directory.iterdir()) == []


def test_what_says_that_it_is_too_large_is_not_read(api):
    response = send_raw(api, breaking(AssertionError), CONTENT_LENGTH="9" * 12)

    assert error(response) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("query", ["", "background=1"])
def test_an_upload_that_breaks_off_imports_nobody(api, query, import_directory):
    length = str(len(PEOPLE) + 1)

    response = send_raw(api, io.BytesIO(PEOPLE.encode()), CONTENT_LENGTH=length, QUERY_STRING=query)

    assert error(response) == (400, "IMPORT_INCOMPLETE")
    assert not Prospect.objects.exists()
    assert list(import_directory.iterdir()) == []


def test_a_form_that_breaks_off_imports_nobody(api):
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + PEOPLE.encode()
    length = str(len(form) + 500)

    response = send_raw(api, io.BytesIO(form), CONTENT_LENGTH=length, CONTENT_TYPE="multipart/form-data; boundary=b")

    assert error(response) == (400, "IMPORT_INCOMPLETE")
    assert not Prospect.objects.exists()


@pytest.mark.parametrize("problem", [ConnectionResetError, ValueError("invalid chunk size")])
def test_a_body_that_breaks_is_an_incomplete_upload(api, problem):
    assert error(send_chunked(api, breaking(problem))) == (400, "IMPORT_INCOMPLETE")


def test_a_file_that_cannot_be_kept_is_said_so(api, settings, tmp_path):
    (tmp_path / "taken").touch()
    settings.IMPORT_DIRECTORY = tmp_path / "taken" / "imports"
    api.raise_request_exception = False

    assert error(send(api, PEOPLE)) == (507, "IMPORT_NO_ROOM")


def test_a_form_without_the_file_is_refused(api):
    assert error(send_form(api, field="other")) == (400, "IMPORT_NO_FILE")


def test_a_form_with_two_files_is_refused_rather_than_one_of_them_dropped(api):
    files = [SimpleUploadedFile(f"{name}.csv", f"email\n{name}@example.com\n".encode()) for name in ("a", "b")]

    assert error(api.post(URL, {"file": files}, format="multipart")) == (400, "IMPORT_SEVERAL_FILES")
    assert not Prospect.objects.exists()


def test_a_form_of_hundreds_of_fields_is_a_bad_request(api, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3

    response = api.post(URL, {f"f{n}": "x" for n in range(5)}, format="multipart")

    assert response.status_code == 400


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nb.csv", "x" * 300 + ".csv", "<script>.csv", "=cmd.csv", "ü.csv"])
def test_a_file_name_is_a_label_and_nothing_else(api, name, import_directory):
    response = send_form(api, name=name, query="?background=1")

    assert response.status_code == 202
    record = ProspectImport.objects.get()
    assert "/" not in record.file_name
    assert record.file_name.isprintable()
    assert [path.name for path in import_directory.iterdir()] == [record.file_path]
