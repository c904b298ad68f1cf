"""What the main process of a pool shares with its children."""
