"""Rows as tables of pandas and pyarrow, which are optional."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_pandas(rows: Iterable[Any], kind: type[Any] | None = None) -> pd.DataFrame:
    """A data frame with a column for each field.

    Instants become ``datetime64[us, UTC]``; None becomes NaT or NaN.

    Args:
        rows: of one query of ``rfsync.history``.
        kind: their type, for the columns if there are no rows.

    Raises:
        ImportError: pandas is not installed.
    """
    import pandas as pd

    kept = list(rows)
    kind = kind or (type(kept[0]) if kept else None)
    if kind is None:
        return pd.DataFrame()
    columns = zip(*kept, strict=True) if kept else [()] * len(kind._fields)
    return pd.DataFrame(
        {
            name: _instants(column) if inner is datetime else pd.Series(list(column))
            for (name, inner), column in zip(_types(kind).items(), columns, strict=True)
        }
    )


def _instants(column: Iterable[datetime | None]) -> pd.Series[pd.Timestamp]:
    import numpy as np
    import pandas as pd

    # Not pandas.to_datetime(), which before pandas 3 counts nanoseconds, and then ends in the year 2262.
    naive = [None if instant is None else instant.astimezone(UTC).replace(tzinfo=None) for instant in column]
    return pd.Series(np.array(naive, "datetime64[us]")).dt.tz_localize("UTC")


def to_arrow(rows: Iterable[Any], kind: type[Any] | None = None) -> pa.Table:
    """An Arrow table with a column for each field; arguments as for ``to_pandas``.

    Raises:
        ImportError: pyarrow is not installed.
    """
    import pyarrow as pa

    kept = list(rows)
    kind = kind or (type(kept[0]) if kept else None)
    if kind is None:
        return pa.table({})
    return pa.table(list(zip(*kept, strict=True)) or [()] * len(kind._fields), schema=arrow_schema(kind))


def arrow_schema(kind: type[Any]) -> pa.Schema:
    """The columns of a row's type, which don't depend on the values: there may be no rows, or only None in a column."""
    import pyarrow as pa

    types = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        datetime: pa.timestamp("us", "UTC"),
        date: pa.date32(),
    }
    return pa.schema([(name, types[inner]) for name, inner in _types(kind).items()])


def _types(kind: type[Any]) -> dict[str, Any]:
    """Field -> type: ``str`` for ``str | None``."""
    hints = get_type_hints(kind)
    return {
        name: next((part for part in get_args(hint) if part is not type(None)), hint) for name, hint in hints.items()
    }
