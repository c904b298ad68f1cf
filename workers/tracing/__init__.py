"""Spans of jobs by OpenTelemetry: made and sent by the main process of a pool, if its environment asks for it."""
