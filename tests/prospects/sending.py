"""Requests that import a file."""

from django.core.files.uploadedfile import SimpleUploadedFile

URL = "/api/prospects/import"
PEOPLE = "email,first_name\na@example.com,Ada\nno,Nobody\nA@example.com,Again\n"


def send(api, content, *, query="", content_type="text/csv", **extra):
    return api.generic("POST", URL + query, content, content_type=content_type, **extra)


def send_form(api, content=PEOPLE, *, name="people.csv", field="file", query=""):
    return api.post(URL + query, {field: SimpleUploadedFile(name, content.encode())}, format="multipart")


def error(response):
    [found] = response.json()["errors"]
    return response.status_code, found["code"]
