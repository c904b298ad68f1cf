"""What operators see and do, for the command line and the HTTP API alike."""
