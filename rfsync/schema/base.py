"""What all tables share: types of columns, names of constraints, and the checks that occur often."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.schema import CreateIndex

from rfsync.records import MAX_COUNT
from rfsync.schema.types import UTCDateTime

#: Numbers that the database gives. SQLite does so only for INTEGER PRIMARY KEY, and stores 64 bits in any case.
Id = Annotated[int, mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)]
ProjectId = Annotated[int, mapped_column(sa.BigInteger, sa.ForeignKey("projects.id"), comment="The project.")]
#: Compared and sorted by code point, as Python does: the diff walks over two sides in that order, and PostgreSQL would
#: otherwise sort by the language of the database.
Key = Annotated[str, "compared by code point"]
#: ``Table.info`` of a table whose rows mean nothing in another database: ``rfsync copy`` leaves them where they are.
NOT_COPIED: Final = {"copied": False}
#: 32 bits.
Small = Annotated[int, "32 bits"]


class Base(DeclarativeBase):
    """The root of all tables."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        int: sa.BigInteger,
        str: sa.Text,
        date: sa.Date,
        datetime: UTCDateTime,
        Key: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
        Small: sa.Integer,
    }


def words(column: str, *allowed: str) -> sa.CheckConstraint:
    """Only these words."""
    listed = ", ".join(f"'{word}'" for word in allowed)
    return sa.CheckConstraint(f'"{column}" IN ({listed})', name=column)


def counts(*columns: str, most: int | None = MAX_COUNT) -> list[sa.CheckConstraint]:
    """Not negative, within what the API may say, and on SQLite, which would store anything, whole numbers."""
    checks = []
    for column in columns:
        upper = f" AND {column} <= {most}" if most is not None else ""
        checks.append(sa.CheckConstraint(f"{column} >= 0{upper}", name=column))
        whole = sa.CheckConstraint(f"typeof({column}) = 'integer'", name=f"{column}_whole")
        checks.append(whole.ddl_if(dialect="sqlite"))
    return checks


def sqlite_reference(columns: list[str], parent: list[str]) -> sa.ForeignKeyConstraint:
    """A foreign key on SQLite; PostgreSQL has triggers instead (``schema.triggers``)."""
    return sa.ForeignKeyConstraint(columns, parent).ddl_if(dialect="sqlite")


def partial_index(name: str, *columns: str, where: str) -> sa.Index:
    """An index of the rows that satisfy a condition."""
    # Not by Index's own arguments, one for each dialect: they would import PostgreSQL's for each sync into SQLite.
    return sa.Index(name, *columns, info={"where": where})


@compiles(CreateIndex)
def _create_index(create: CreateIndex, compiler: Any, **options: Any) -> str:
    statement: str = compiler.visit_create_index(create, **options)
    where = create.element.info.get("where")
    return statement if where is None else f"{statement} WHERE {where}"
