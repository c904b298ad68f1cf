"""The ledger: job contracts, the job state machine, the model registry and operations, on Redis or Valkey.

Needs redis and msgspec only, so that a producer stays light. It does not import Celery, the engine or the command line.
"""
