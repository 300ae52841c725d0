"""rfsync's speed, beside the least code that does the same, plain SQLAlchemy Core and dlt. Run `python -m bench`."""
