"""The model registry: aliases, promotions, drift alarms, prediction log and fight results."""
