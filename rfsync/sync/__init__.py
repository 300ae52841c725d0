"""From an answer of the API to rows in the ledger: one project, or many side by side."""
