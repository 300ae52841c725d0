"""The version of rfsync."""

__version__ = "0.1.0"
