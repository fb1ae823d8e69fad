"""The route for SNS, and what it answers."""

import json

from django.test import Client

URL = "/v1/notifications/ses-events"
CLIENT = Client()


def post(message, content_type="text/plain; charset=UTF-8", **headers):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return CLIENT.generic("POST", URL, body, content_type=content_type, headers=headers)


def code(response):
    (error,) = response.json()["errors"]
    return response.status_code, error["code"]
