"""The product's settings for a run under attack: the same code, with every patience shortened.

A killed loop is missed after 15 s and a call's lease ends after 80 s: a thousand kills would take days of
waiting. `CHAOS_HASTE=5` makes both a fifth as long; 1 leaves the product as it is.
"""

import os
from typing import Any

from outreach.settings import *  # noqa: F403 (this is those settings, with changes)
from outreach.settings import CELERY_BEAT_SCHEDULE, INSTALLED_APPS

CHAOS_HASTE = float(os.environ["CHAOS_HASTE"])

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.sabotage.apps.Sabotage"]
# What a killed loop, a call that froze and a mail in the outbox wait for; the others only cost what a test waits for.
for _name in ("wake-silent-campaigns", "sweep-outbox"):
    _entry: Any = CELERY_BEAT_SCHEDULE[_name]
    _entry["schedule"] = max(0.75, _entry["schedule"] / CHAOS_HASTE)
    _entry["options"]["expires"] = max(5.0, _entry["options"]["expires"] / CHAOS_HASTE)
