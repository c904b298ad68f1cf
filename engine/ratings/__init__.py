"""Ratings of fighters, updated event by event: a joint Gaussian filter, and ratings of single skills."""
