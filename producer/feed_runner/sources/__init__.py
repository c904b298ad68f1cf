"""Where feeds are read from: a provider, and dumps."""
