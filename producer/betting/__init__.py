"""Bets on the caller's side: the register as a table."""
