"""Drift of features, and sequential tests of a served model."""
