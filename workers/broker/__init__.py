"""Celery integration: transport, result backend, autoscaler, consumers."""
