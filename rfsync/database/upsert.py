"""INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells once for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


def insert(dialect: str, model: type) -> Insert:
    """An INSERT that can be followed by ``on_conflict_do_update`` or ``on_conflict_do_nothing``.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        model: a declarative class.
    """
    make: Any
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as make
    else:
        from sqlalchemy.dialects.postgresql import insert as make
    made: Insert = make(model)
    return made
