"""JSON routes, a file for each subject."""
