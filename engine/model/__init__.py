"""The trained ensemble: its configuration, bundle on disk, predictions and market adjustment."""
