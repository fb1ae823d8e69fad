"""Compiles what translators wrote."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from outreach import translating


class Command(BaseCommand):
    """Writes the .mo beside every .po; needs no GNU gettext, unlike Django's compilemessages."""

    help = "Compiles locale/*/LC_MESSAGES/*.po into the .mo files that are committed beside them."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        for directory in settings.LOCALE_PATHS:
            for catalogue in translating.catalogues(directory):
                catalogue.with_suffix(".mo").write_bytes(translating.compiled(catalogue.read_text(encoding="utf-8")))
                self.stdout.write(str(catalogue.with_suffix(".mo").relative_to(settings.BASE_DIR)))
