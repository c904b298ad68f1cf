"""Commands about bets and the audit of what a ledger did."""
