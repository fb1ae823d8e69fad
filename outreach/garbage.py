"""Python's search for garbage in cycles, made fit for processes that hold a framework and make thousands of objects a chunk."""

import gc
from functools import cache

# Few of our objects are in cycles; at Python's 700 a sending worker spends 8 % of its time looking at the others.
_NEW_OBJECTS = 50_000


# Once: a parent that forks again after weeks must not keep for good what is garbage by then.
@cache
def share_what_is_loaded() -> None:
    """Leave what is loaded out of every search, also in later forks: they share its memory while nobody looks at it."""
    gc.collect()
    gc.freeze()


def collect_seldom() -> None:
    """Leave what is loaded out of every search, and search less often. Call it once a process, when it is ready for work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 20)
