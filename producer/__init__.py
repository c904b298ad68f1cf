"""What a caller installs: the client, the odds feed and the command line. Needs no numpy, no Celery."""
