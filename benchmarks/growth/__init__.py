"""How cost grows with followers, with callers that wait, and with the prediction log."""
