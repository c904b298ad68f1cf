"""Handlers, one for each kind of job."""
