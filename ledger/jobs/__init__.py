"""The job state machine: submission, claims, outcomes, dead letters."""
