"""Where the primary of a ledger is: one server, or one of several that sentinels or a cluster name."""
