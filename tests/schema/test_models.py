"""The models as others use them: on a session of their own, which only reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rig import Rig, record
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import rfsync
from rfsync.schema.models import Batch

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_query_that_the_documentation_shows(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.listed = [record("a", 5, 0, "few"), record("b", 7, 0, "many"), record("c", 9, 1, "in a job")]
    assert rig.sync().ok
    (example,) = re.findall(r"```python\n(from sqlalchemy import select\n.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(example, {"engine": rfsync.connect(rig.text)})  # noqa: S102 our own documentation
    assert capsys.readouterr().out.splitlines() == ["b many 7", "a few 5"]


def test_a_session_of_theirs_can_not_write(rig: Rig) -> None:
    rig.listed = [record("a", 5)]
    assert rig.sync().ok
    with Session(rfsync.connect(rig.text)) as session:
        batch = session.get_one(Batch, (1, "a"))
        batch.images = 6
        with pytest.raises(DBAPIError, match=r"read-?only"):
            session.commit()
    assert rig.state() == {"a": (5, 0)}
