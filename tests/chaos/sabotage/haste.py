"""Shortens the product's patience where no setting and no SQL parameter reaches it."""

from datetime import timedelta

from django.conf import settings

# Below this the loop's own sign of life, once a second, would come too late.
_LEAST_SILENCE = timedelta(seconds=3)
# So that a few hundred people take several batches, most of them in a worker.
_ENROLLED_AT_ONCE = 100


# The product's own patience; those that it does not have yet, or no more, are passed over.
_WAITS = ("SILENT_AFTER", "_TURN_OF_ANOTHER")


def install() -> None:
    """Raises when the product calls these things by other names: then adapt this file."""
    from campaigns import enrolling, lanes, lifecycle

    if settings.CHAOS_HASTE == 1:
        return
    for name in _WAITS:
        if hasattr(lifecycle, name):
            setattr(lifecycle, name, getattr(lifecycle, name) / settings.CHAOS_HASTE)
    lanes._SILENT_AFTER = max(_LEAST_SILENCE, lanes._SILENT_AFTER / settings.CHAOS_HASTE)
    lifecycle.SILENT_AFTER = max(_LEAST_SILENCE, lifecycle.SILENT_AFTER)
    enrolling.enrol_batch.__wrapped__.__kwdefaults__["size"] = _ENROLLED_AT_ONCE
