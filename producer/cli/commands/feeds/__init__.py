"""Commands about odds feeds, their prices, and fight logs."""
