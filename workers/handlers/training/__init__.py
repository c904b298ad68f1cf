"""Handlers of trainings and backtests."""
