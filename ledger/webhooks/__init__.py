"""Webhooks: their definitions and dead letters, and what a relay needs to deliver outcomes to them."""
