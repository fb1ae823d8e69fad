from django.apps import AppConfig


class OutreachConfig(AppConfig):
    name = "outreach"
    verbose_name = "Project"

    def ready(self) -> None:
        from outreach import checks, schema, tracing  # noqa: F401 (register the system checks and the schema's words)

        tracing.connect()
