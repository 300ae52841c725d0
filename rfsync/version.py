"""The version of rfsync."""

__version__ = "0.2.0"
