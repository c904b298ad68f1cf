"""Handler of the job that keeps a fight log up to date."""
