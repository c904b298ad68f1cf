"""Odds feeds: reading, checking and matching of events and prices."""
