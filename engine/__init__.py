"""Numerics: fight log, features, ensemble, bootstrap, intervals and market. Knows nothing of queues, Redis or Celery."""
