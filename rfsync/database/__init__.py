"""The way to the database: connections, errors, retries and the locks of living runs."""
