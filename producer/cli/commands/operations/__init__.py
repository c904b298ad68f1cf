"""Commands that operate a running service: controls, alerts, dead letters, tokens, webhooks."""
