"""Checks that the database has what a query names."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.errors import ConfigError
from rfsync.history.query import Query, Targets, targets_of
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.text import close_names, did_you_mean, shown_name

#: Most ids that a message lists.
_LISTED: Final = 5


def known_query(engine: Engine, targets: Targets) -> Query:
    """A query about targets that the database has.

    Raises:
        ConfigError: a target is malformed or unknown, or there is no list of them, or an empty one.
        DatabaseError: the database can't be read.
    """
    query = _query(engine, targets)
    require_known(engine, targets)
    return query


def read_known(
    engine: Engine, targets: Targets, doing: str, select: str, times: Sequence[int] = ()
) -> list[tuple[Any, ...]]:
    """As ``Query.rows`` of a ``known_query``, but mostly without asking twice.

    Args:
        select: gives a row for each project of ``scope``, whose second and third values are its workspace and id.

    Raises:
        ConfigError: a target is malformed or unknown, or there is no list of them, or an empty one.
        DatabaseError: the database can't be read.
    """
    rows = list(_query(engine, targets).rows(doing, select, tuple, times))
    found = {Target(workspace, project) for _, workspace, project, *_ in rows}
    found |= {Target(target.workspace, None) for target in found}
    if not found.issuperset(targets_of(targets)):
        require_known(engine, targets)
    return rows


def _query(engine: Engine, targets: Targets) -> Query:
    if targets is not None and not (isinstance(targets, Sequence) and targets):
        raise ConfigError(f"targets: {targets!r} is neither a target nor a list of some; None stands for everything")
    return Query(engine, targets)


def require_known(engine: Engine, targets: Targets) -> list[tuple[Target, Target]]:
    """Check that the database has every target.

    Returns:
        Those that have another id now: as they are named, and as they are called.

    Raises:
        ConfigError: it doesn't have one of them.
        DatabaseError: the database can't be read.
    """
    named = targets_of(targets)
    present: set[Target] = set()
    if projects := [target for target in named if target.project is not None]:
        sql = "SELECT workspace, project FROM scope"  # those that have these ids now, all at once
        present.update(Query(engine, projects).rows("looking for the projects", sql, Target._make))
    renamed = []
    for target in named:
        if target in present:
            continue
        names = "SELECT DISTINCT workspace, project FROM scope ORDER BY 1, 2 LIMIT 1"
        found = list(Query(engine, target).rows("looking for the project", names, tuple))
        if not found:
            known = {str(one) if target.project else one.workspace for one in _projects(engine)}
            meant = did_you_mean(close_names(str(target), known))
            raise ConfigError(f"the database has no {target}: rfsync status shows what it has{meant}")
        workspace, project = found[0]
        now = Target(workspace, None if target.project is None else project)
        if now != target:
            renamed.append((target, now))
    return renamed


def are_whole_workspaces(engine: Engine, targets: Targets) -> bool:
    """Tell if the targets are all the projects that their workspaces have.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    named = targets_of(targets)
    if any(target.project is not None for target in named):
        return False
    sql = "SELECT DISTINCT workspace FROM scope"
    found = {workspace for (workspace,) in Query(engine, targets).rows("looking for the workspaces", sql, tuple)}
    # The former id of a workspace means some of the projects of the one that they are in now.
    return not named or found <= {target.workspace for target in named}


def _projects(engine: Engine) -> Iterator[Target]:
    return Query(engine, None).rows("looking for the projects", "SELECT workspace, project FROM scope", Target._make)


def read_ids(
    engine: Engine, targets: Targets, ids: str | Sequence[str] | None, kind: Kind = Kind.BATCH
) -> Sequence[str]:
    """The ids that an argument names; none for None, which stands for all.

    Raises:
        ConfigError: there is none in it, or the projects don't have one of them.
        DatabaseError: the database can't be read.
    """
    if ids is not None and not ids:
        raise ConfigError(f"{kind.one}_ids: there is none in it; None stands for all {kind.value}")
    named = [ids] if isinstance(ids, str) else list(ids or ())
    if named:
        _require_ids(engine, targets, named, kind)
    return named


def _require_ids(engine: Engine, targets: Targets, ids: Sequence[str], kind: Kind) -> None:
    """Check that the projects have, or had, every batch or job; a batch may also be one that only jobs name.

    Raises:
        ConfigError: they don't have one of them. If it is the name of some, the message has their ids.
        DatabaseError: the database can't be read.
    """
    # No database has the others.
    storable = [one for one in ids if isinstance(one, str) and not re.search("[\x00\ud800-\udfff]", one)]
    found = {record_id for _, record_id in _records(engine, targets, kind, f"{kind.one}_id", storable, None)}
    if kind is Kind.BATCH and len(found) < len({*storable}):
        found |= {batch_id for _, batch_id in _records(engine, targets, Kind.JOB, "batch_id", storable, None)}
    for one in ids:
        if one not in found:
            named = _records(engine, targets, kind, "name", [one] if one in storable else [], _LISTED + 1)
            shown = ", ".join(f"{record_id} of {project}" for project, record_id in named[:_LISTED])
            more = ", …" if len(named) > _LISTED else ""
            hint = f": this is the name of {shown}{more}" if shown else ""
            where = "" if targets is None else f" in {' or '.join(map(str, targets_of(targets)))}"
            raise ConfigError(f"there is no {kind.one} with the id {shown_name(str(one))}{where}{hint}")


def _records(
    engine: Engine, targets: Targets, kind: Kind, column: str, values: Sequence[str], limit: int | None
) -> list[tuple[Any, ...]]:
    """Project and id of the batches or jobs that have one of some values in a column, the newest first.

    Of jobs looked for by their batch, it is the id of that.
    """
    if not values:
        return []
    query = Query(engine, targets)
    query.values |= {} if limit is None else {"limit": limit}
    wanted = f"{kind.one}_id" if column == "name" else column
    sql = f"""
SELECT p.workspace || '/' || p.project, b.{wanted} FROM scope p CROSS JOIN {kind.value} b
WHERE b.project_id = p.id AND b.{column} IN ({query.add_values("v", values)}) ORDER BY b.first_seen_at DESC, 1, 2
{"" if limit is None else "LIMIT :limit"}"""
    return list(query.rows(f"looking for the {kind.value}", sql, tuple))
