"""The gateway against the Python client, and against Flower's API with plain Celery."""
