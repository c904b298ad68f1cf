"""Price history: the changes of prices, a stream for each fight, and their archive."""
