"""A rule, and what its SQL is put together from."""

from collections.abc import Iterable
from typing import NamedTuple


class Rule(NamedTuple):
    """A rule."""

    #: What breaks it, in words: ``{expected}`` and ``{found}`` are the query's.
    says: str
    #: The words around the values of the query's expected and found, which are separated by |; a value without any is
    #: in words already.
    words: str
    #: Gives project_id (NULL: of no project), what, expected, found. ``{day}`` is the UTC day of c.observed_at,
    #: ``{quarter_hour}`` the start of its quarter of an hour. IS DISTINCT FROM is spelt out, since SQLite has it only
    #: since 3.39.
    query: str


def columns(template: str, names: Iterable[str]) -> str:
    """The template for each name, as columns of a SELECT."""
    return ", ".join(template.format(name) for name in names)


def barred(template: str, names: Iterable[str]) -> str:
    """The template for each name, as one text with | in between."""
    return " || '|' || ".join(template.format(name) for name in names)


def any_of(template: str, names: Iterable[str]) -> str:
    """The template, a condition, for at least one of the names."""
    return "(" + " OR ".join(template.format(name) for name in names) + ")"
