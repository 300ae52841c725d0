"""The live page: charts of the history in a browser, read-only. Needs the extra ``dashboard``."""
