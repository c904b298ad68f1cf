"""Code that all handlers share: context, registry, retries, overrides, provenance."""
