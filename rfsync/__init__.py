"""rfsync: keeps the history of Roboflow's annotation batches that the API itself forgets."""

__version__ = "0.1.0"
