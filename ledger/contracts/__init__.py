"""Messages on the wire: jobs, reports, failures and their JSON codec."""
