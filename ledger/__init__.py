"""The book both sides stand on: the contracts and the job state machine.

Needs redis and msgspec only, so that a producer stays light. Knows nothing of Celery, the engine or the command line.
"""
