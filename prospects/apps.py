from django.apps import AppConfig


class ProspectsConfig(AppConfig):
    name = "prospects"
    verbose_name = "People"

    def ready(self) -> None:
        from prospects import receivers  # noqa: F401 (connects the signals)
