"""Fight logs, fighter names, point-in-time features and feature matrices."""
