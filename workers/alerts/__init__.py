"""Alerts for operators: rules, overrides, evaluation and webhook."""
