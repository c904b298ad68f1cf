"""A simulated league of fighters, fights and bookmakers."""
