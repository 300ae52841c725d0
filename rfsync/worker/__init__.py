"""The scheduled sync as one worker of many: procrastinate's queue in PostgreSQL says who polls what."""
