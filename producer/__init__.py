"""What a caller installs: the client, the odds feed and the command line. Loads no numpy, pandas or Celery."""
