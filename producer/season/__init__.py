"""A played season: the service under it, the people killed in between, and the counts at its end."""
