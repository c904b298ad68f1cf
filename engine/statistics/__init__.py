"""Calibration, scores, e-processes and complement-exact arithmetic."""
