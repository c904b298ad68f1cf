"""Checks of an installation before it serves."""
