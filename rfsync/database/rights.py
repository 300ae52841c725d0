"""What a role lacks on PostgreSQL to do what a sync does."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

_NEEDED: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MISSING: Final = text("""
SELECT t.name, n.needed
FROM unnest(CAST(:tables AS text[])) t (name) CROSS JOIN unnest(CAST(:needed AS text[])) n (needed)
WHERE NOT has_table_privilege(quote_ident(t.name), n.needed)
ORDER BY t.name, n.needed DESC""")
# In a CASE, since the server may ask for the right before it knows that the relation is a sequence.
_SEQUENCES: Final = text("""
SELECT s.oid::regclass::text
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' JOIN pg_class t ON t.oid = d.refobjid
WHERE t.relname = ANY (CAST(:tables AS text[])) AND t.relnamespace = current_schema()::regnamespace
    AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END
ORDER BY 1""")


def missing_rights(connection: Connection, tables: Sequence[str]) -> list[str]:
    """The rights on these tables, which are on the search path, and on their sequences that the current role lacks.

    Returns:
        Such as ``INSERT on projects``; empty if it has all.
    """
    values = {"tables": list(tables), "needed": list(_NEEDED)}
    missing = [f"{right} on {table}" for table, right in connection.execute(_MISSING, values)]
    return missing + [f"USAGE on {name}" for (name,) in connection.execute(_SEQUENCES, {"tables": list(tables)})]
