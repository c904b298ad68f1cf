"""Handlers that compare served models with results."""
