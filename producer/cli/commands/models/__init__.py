"""The commands of `cornerman models`."""
