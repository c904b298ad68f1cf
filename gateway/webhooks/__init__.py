"""The relay: posts outcomes to webhooks, as https://www.standardwebhooks.com describes."""
