"""The caller's side: Python client, odds feeds and command line; needs neither numpy nor Celery."""
