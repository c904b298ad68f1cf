"""Schedules in the ledger: cron texts, catch-up, submission once, and the history of runs."""
