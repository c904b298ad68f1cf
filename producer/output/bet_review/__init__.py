"""A review of bets as tables, charts and one page. Layout only: all numbers come from the report."""
