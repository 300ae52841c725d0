"""The scheduled sync as a service: timetable, discovery, health, metrics."""
