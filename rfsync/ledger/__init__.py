"""The stored state and its history: loaded, compared, written in one transaction, verified. It knows no HTTP."""
