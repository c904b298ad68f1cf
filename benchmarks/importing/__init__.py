"""Import of estimators that other library versions have written."""
