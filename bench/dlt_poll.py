"""The same poll with dlt, as its documentation writes it. `dlt_poll.py API DATABASE STRATEGY`, run in its own folder.

Merge keeps the present state alone, scd2 each version of each row; neither keeps a ledger.
"""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import requests

#: Loaded by name: whether dlt's own types are there to check against depends on where the types are checked.
dlt: Any = importlib.import_module("dlt")


def batches(api: str) -> Iterator[list[dict[str, Any]]]:
    answer = requests.get(f"{api}/acme/widgets/batches", headers={"Authorization": "Bearer bench"}, timeout=60)
    answer.raise_for_status()
    yield answer.json()["batches"]


def main() -> None:
    api, database, strategy = sys.argv[1:]
    sqlite = database.startswith("sqlite")
    # Without the keys, which dlt leaves out by default, a merge on SQLite compares each row with each other row.
    destination = (
        dlt.destinations.sqlalchemy(database, create_primary_keys=True)
        if sqlite
        else dlt.destinations.postgres(database)
    )
    if strategy == "merge":  # upsert is the quicker of dlt's two ways to keep one row per key; not offered on SQLite
        strategy = "delete-insert" if sqlite else "upsert"
    resource = dlt.resource(
        batches(api),
        name="batches",
        primary_key=None if strategy == "scd2" else "id",
        write_disposition={"disposition": "merge", "strategy": strategy},
    )
    pipeline = dlt.pipeline("bench", destination=destination, dataset_name="main" if sqlite else "public")
    # CSV goes into PostgreSQL by COPY, which is quicker than the INSERT statements that dlt writes by default.
    pipeline.run(resource, loader_file_format=None if sqlite else "csv").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
