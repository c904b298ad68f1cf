"""What all handlers share: context, registry, retries, overrides, provenance."""
