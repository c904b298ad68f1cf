"""Operators: controls, pools and quarantine."""
