"""Audit files: what a ledger holds about its jobs, controls, models and bets, in lines that are chained by hashes."""
