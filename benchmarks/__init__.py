"""Measurements behind the figures in the documentation; each module prints its table."""
