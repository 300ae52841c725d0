"""The same poll with dlt, as in its documentation. `dlt_poll.py API DATABASE STRATEGY`

Merge keeps only the present state, scd2 each version of each row; neither keeps a ledger.
"""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import requests

#: By name, so that types are checked in the same way whether dlt is installed or not.
dlt: Any = importlib.import_module("dlt")


def batches(api: str) -> Iterator[list[dict[str, Any]]]:
    answer = requests.get(f"{api}/acme/widgets/batches", headers={"Authorization": "Bearer bench"}, timeout=60)
    answer.raise_for_status()
    yield answer.json()["batches"]


def main() -> None:
    api, database, strategy = sys.argv[1:]
    sqlite = database.startswith("sqlite")
    # Without primary keys, dlt's default, a merge on SQLite compares every row with every other.
    destination = (
        dlt.destinations.sqlalchemy(database, create_primary_keys=True)
        if sqlite
        else dlt.destinations.postgres(database)
    )
    if strategy == "merge":  # upsert is the faster way to keep one row per key, but not supported on SQLite
        strategy = "delete-insert" if sqlite else "upsert"
    resource = dlt.resource(
        batches(api),
        name="batches",
        primary_key=None if strategy == "scd2" else "id",
        write_disposition={"disposition": "merge", "strategy": strategy},
    )
    pipeline = dlt.pipeline("bench", destination=destination, dataset_name="main" if sqlite else "public")
    # CSV is loaded by COPY, which is faster than dlt's default of INSERT statements.
    pipeline.run(resource, loader_file_format=None if sqlite else "csv").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
