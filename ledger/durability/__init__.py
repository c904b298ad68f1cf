"""Confirmation of writes and of outcomes by the append-only file and by replicas."""
