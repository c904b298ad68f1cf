"""Memory of pools and trainings."""
