"""Pages for operators: what is wrong, jobs, dead letters, controls, models, audit."""
