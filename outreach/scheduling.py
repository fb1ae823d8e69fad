"""Beat's schedule, on a clock that may be set back and through a broker that may be away."""

from typing import Any

from celery import beat


class Scheduler(beat.Scheduler):
    """Celery's scheduler in memory, which by itself falls silent for as long as its clock was set back.

    An entry that last ran in the future would not be due before that moment comes again, and with it
    everything that the sweeps mend.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; returns the seconds until the next look."""
        self._forget_the_future()
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Publish one entry, by a connection of the pool.

        Celery hands over the one that beat opened at its start. RabbitMQ ends it when it restarts, and as nothing
        is retried here (`CELERY_TASK_PUBLISH_RETRY`), nobody would open another: beat would be silent for good.
        """
        return super().apply_async(entry, producer=None, advance=advance, **kwargs)

    def _forget_the_future(self) -> None:
        now = self.app.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at and entry.last_run_at > now]
        for entry in ahead:
            entry.last_run_at = now
        if ahead:
            # The order of what comes next was made with the old clock.
            self._heap = None
