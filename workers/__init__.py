"""Celery pools: supervisor, consumers, limits, model cache, and the handlers that connect the ledger to the engine."""
