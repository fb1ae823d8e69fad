from django.apps import AppConfig


class Sabotage(AppConfig):
    """Loads the traps into every process of a run under attack: web, workers, beat."""

    name = "tests.chaos.sabotage"

    def ready(self) -> None:
        from tests.chaos.sabotage import calls, clock, haste, statements

        haste.install()
        statements.install()
        calls.install()
        clock.install()
