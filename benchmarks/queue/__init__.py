"""Throughput, latency and capacity of the queue."""
