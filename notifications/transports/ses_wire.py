"""The body of `SendBulkEmail` in one step.

botocore walks through each parameter with its model in hand, some twenty steps a mail, and writes JSON character by
character: as much work as rendering the mail. The wire form of these parameters is the parameters themselves, so
they go past it, through the hooks that botocore offers; endpoint, signature and answer stay its own.
https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
"""

from typing import Any

import orjson

_ENTRIES = "BulkEmailEntries"
_KEPT = "outreach-parameters"


def write_bulk_bodies(client: Any) -> None:
    """Let this client of SES v2 write the bodies of its bulk calls so. Its parameters are not validated any more."""
    client.meta.events.register("provide-client-params.sesv2.SendBulkEmail", _keep)
    client.meta.events.register("before-call.sesv2.SendBulkEmail", _write)


def _keep(*, params: dict[str, Any], context: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    context[_KEPT] = params
    return {name: value for name, value in params.items() if name != _ENTRIES}


def _write(*, params: dict[str, Any], context: dict[str, Any], **_kwargs: Any) -> None:
    params["body"] = orjson.dumps(context.pop(_KEPT))
