"""Keeps a worker deaf to signals that whoever started it wanted ignored.

The convention of Unix (nohup, background jobs) which Celery breaks by installing its own handlers. `manage.py
up` relies on it: a terminal sends Ctrl-C to every process of the group, and a hang-up would end a chunk half-way.
Loaded by `celery worker --include outreach.terminal`; gunicorn.conf.py uses it too.
"""

import signal

from celery.signals import worker_process_init, worker_ready

_IGNORED = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]


@worker_ready.connect
@worker_process_init.connect
def stay_deaf(**_kwargs: object) -> None:
    """Ignore again what was ignored when this process started."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
