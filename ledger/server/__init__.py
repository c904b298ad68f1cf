"""The Redis or Valkey server: connections, scripts, subscriptions, embedded server."""
