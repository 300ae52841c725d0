"""The tables, views and triggers, and how a database gets to this version of them."""
