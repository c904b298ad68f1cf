"""Moving outcomes from the server to the archive."""
