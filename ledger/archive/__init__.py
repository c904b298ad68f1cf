"""The archive of outcomes: Parquet files in a store, read back as if they were still on the server."""
