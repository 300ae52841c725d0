"""INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells once for each."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert(dialect: str, model: type) -> postgresql.Insert:
    """An INSERT that can be followed by ``on_conflict_do_update`` or ``on_conflict_do_nothing``.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        model: a declarative class.
    """
    made: postgresql.Insert = _INSERTS[dialect](model)
    return made
