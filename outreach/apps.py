from django.apps import AppConfig


class OutreachConfig(AppConfig):
    name = "outreach"
    verbose_name = "Project"

    def ready(self) -> None:
        from celery.signals import worker_ready

        from campaigns import watching, watching_events
        from outreach import alarms, checks, heartbeats, metrics, schema, tracing  # noqa: F401 (register the system checks and the schema's words)

        alarms.register(watching.NAMES, watching.raised)
        alarms.register(watching_events.NAMES, watching_events.ringing)
        tracing.connect()
        heartbeats.listen()
        worker_ready.connect(metrics.serve_in_worker)
