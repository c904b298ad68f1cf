"""Reports of jobs other than cards, a file for each kind of job."""
