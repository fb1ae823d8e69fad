"""The product's settings where no machine that stalls is taken for a Redis that is away, which nobody counts in."""

from typing import Any

from outreach.settings import *  # noqa: F403 (this is those settings, with a change)
from outreach.settings import CACHES

_options: Any = CACHES["default"]["OPTIONS"]
_options |= {"socket_timeout": 60, "socket_connect_timeout": 60}
