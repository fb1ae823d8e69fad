"""The project: settings, wiring and the words that every app shares."""

from outreach.celery import app as celery_app

__all__ = ["celery_app"]
