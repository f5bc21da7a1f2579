"""Celery adapter: `celery -A tasks …`."""

from tasks.celery_app import app

__all__ = ["app"]
