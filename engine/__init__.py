"""Numerics: fight log, features, ensemble, bootstrap, intervals, market. Knows nothing of queues, Redis or Celery."""
