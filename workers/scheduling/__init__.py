"""Submission of what the schedules of the ledger say, by every monitoring pool."""
