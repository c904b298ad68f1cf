"""Walk-forward backtests, forecast metrics, betting rules, challenger comparison and plots."""
