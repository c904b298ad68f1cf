"""Accuracy of forecasts, thresholds and gates on real or simulated fights."""
