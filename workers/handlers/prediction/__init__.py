"""Handlers of fight cards, in five steps: resolve, features, predict, price, report."""
