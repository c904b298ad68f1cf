"""Metrics, readiness and the HTTP endpoints of a pool."""
