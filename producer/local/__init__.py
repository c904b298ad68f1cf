"""Commands that run the engine in a process of their own, without a queue."""
