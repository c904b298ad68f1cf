"""Celery pools: doorbell, limits, guard, model cache and the handlers that join the ledger to the engine."""
