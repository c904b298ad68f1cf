"""Console, tables, progress and exit codes."""
