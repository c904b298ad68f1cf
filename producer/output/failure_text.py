"""What to do about a failure, for each failure code."""

from __future__ import annotations

REMEDIES = {
    "invalid_input": "Correct the field that the message names, and submit again.",
    "unsupported_schema": "Upgrade the workers first, then the callers.",
    "unknown_fighter": "Correct the spelling (the message has the nearest names), or declare a debutant.",
    "model_not_found": "Set the alias, or copy the model into the store of that machine: cornerman models.",
    "model_corrupt": "Copy the model into the store again.",
    "memory_limit_exceeded": "Submit a smaller card or ask for fewer replicas; wait if the queue is full.",
    "time_limit_exceeded": "Submit smaller cards; a training needs a longer --max-training-time.",
    "bootstrap_failed": "Ask for fewer replicas, or train a model with more.",
    "training_failed": "The message names the member that could not be trained: correct its data or settings.",
    "stale_odds": "Submit the card again with newer prices.",
    "expired": "Submit earlier, add workers, or set a later deadline.",
    "cancelled": "The caller cancelled it: submit it again if it is still wanted.",
    "worker_lost": "See why its workers died (cornerman dead-letters show), then requeue it.",
    "superseded": "A newer job has later prices of the card: read the outcome of that job.",
    "predecessor_failed": "It waited for a job that did not succeed: see that job, and submit both under new keys.",
    "internal": "This is a fault of cornerman: the log of the pool has the traceback under the id of the job.",
}
"""A sentence for each failure code; a test holds the two together."""
