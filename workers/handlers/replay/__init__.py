"""The handler that recomputes stored outcomes."""
