"""The HTTP server: address, TLS, limits of a connection."""
