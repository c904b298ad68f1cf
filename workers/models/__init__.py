"""Models of a worker: store, cache, verification."""
