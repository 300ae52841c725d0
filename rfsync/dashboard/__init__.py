"""The dashboard: live charts of the history in a browser, read-only. Requires the extra ``dashboard``."""
