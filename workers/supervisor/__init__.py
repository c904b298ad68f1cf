"""The main process of a pool: scaling, memory limits, watchdog."""
