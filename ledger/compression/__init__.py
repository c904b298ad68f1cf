"""Compression of the payloads and reports that the server stores, and its dictionaries."""
