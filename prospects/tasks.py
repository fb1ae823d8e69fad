"""Imports in the background, and catching up after PostgreSQL was away."""

from celery import shared_task
from django.utils import timezone

from prospects import catching_up, importing


@shared_task(ignore_result=True)
def run_import(import_id: int) -> None:
    """Do one import that was just queued."""
    importing.run_import(import_id, now=timezone.now())


@shared_task(ignore_result=True)
def run_waiting_imports() -> None:
    """Do what a lost message or a killed worker left, and delete the files that nobody needs any more."""
    for import_id in importing.list_waiting():
        importing.run_import(import_id, now=timezone.now())
    importing.forget_files(timezone.now())


@shared_task(ignore_result=True)
def apply_kept_unsubscribes() -> None:
    """Apply the requests that are kept in this machine's directory, should it share one with a web process."""
    catching_up.apply_kept()
