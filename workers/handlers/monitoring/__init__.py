"""Handlers that compare models in production with fight results."""
