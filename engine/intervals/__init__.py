"""Prediction intervals: half-widths from held-out fights, and percentile intervals."""
