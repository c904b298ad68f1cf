"""Checks of an installation before production use."""
