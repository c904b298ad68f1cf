"""Coverage and width of intervals."""
