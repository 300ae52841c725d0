"""Roboflow's API over HTTP: requests, answers and what went wrong. It knows no database."""
