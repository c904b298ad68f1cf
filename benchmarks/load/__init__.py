"""Load over a long time: what grows with the number of jobs."""
