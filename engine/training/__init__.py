"""Training of an ensemble and its bootstrap replicas."""
