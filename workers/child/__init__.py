"""What a prefork child does with the jobs that it claims."""
