"""Who asks, and what a request may do."""
