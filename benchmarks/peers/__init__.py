"""Contest of job queues on one server: this project, other Python queues, and a raw list."""
