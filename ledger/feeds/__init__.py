"""Odds feeds: what they have listed, who reads them, and what each retrieval brought."""
