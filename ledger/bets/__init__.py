"""Bets: the append-only register, what is at stake, and the caps on it."""
