"""Speed and memory of training and prediction."""
