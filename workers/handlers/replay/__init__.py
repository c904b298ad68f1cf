"""Handlers that recompute stored outcomes."""
