"""Memory and threads: limits, estimates, chunked arrays."""
