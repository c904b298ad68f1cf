"""The handler of fight cards."""
