"""Bookmaker odds: consensus probabilities, closing line, bet decisions."""
