"""Merging of one source into a fight log: match its fights, update those of the log, add the others."""
