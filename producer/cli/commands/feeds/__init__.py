"""Commands about odds feeds."""
