"""Import of joblib files from other systems."""
