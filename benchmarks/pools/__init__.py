"""Start-up, autoscaling, fan-out and observability of pools."""
