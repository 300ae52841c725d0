"""How fast rfsync is: measured against the least code that does the same, and against dlt. Run `python -m bench`."""
