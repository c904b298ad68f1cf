"""The members of the ensemble (random forest, XGBoost, neural network) and their kernels."""
