"""The logs: their two forms, and what must not be in them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rfsync.logs import FORMATS, LEVELS, configure, log_context, with_fields
from rfsync.redaction import Redactor

KEY = "s3cretKey123"
Written = Callable[[], str]

log = logging.getLogger("rfsync.test")


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The root logger is put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def redact() -> Redactor:
    made = Redactor()
    made.add(KEY)
    return made


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    def written() -> str:
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return written


class BrokenStream(io.StringIO):
    """As a pipe that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def fail() -> None:
    raise ValueError(f"https://h/?api_key={KEY}")


def test_a_json_line_has_the_time_the_level_the_text_and_the_run(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    with log_context(workspace="acme", project="widgets"), log_context(run_id=7):
        log.warning("%s: %d added", "acme/widgets", 5)
    line: dict[str, Any] = json.loads(written())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line.pop("timestamp"))
    assert line == {
        "event": "acme/widgets: 5 added", "level": "warning",
        "workspace": "acme", "project": "widgets", "run_id": 7,
    }  # fmt: skip


def test_a_json_line_has_the_fields_that_it_was_logged_with(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    with log_context(project="widgets"):
        log.warning("it failed", extra=with_fields({"error_kind": "server", "attempts": 5}))
    line = json.loads(written())
    assert (line["error_kind"], line["attempts"], line["project"]) == ("server", 5, "widgets")
    configure("info", "console", redact)
    log.warning("it failed", extra=with_fields({"error_kind": "server"}))
    assert written().endswith(" it failed\n")


def test_what_a_line_is_about_is_over_when_it_is_over(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    with contextlib.suppress(ValueError), log_context(project="widgets"):
        log.warning("x")
        raise ValueError
    log.warning("x")
    of = [json.loads(line).get("project") for line in written().splitlines()]
    assert of == ["widgets", None]


def test_other_extra_fields_are_left_out(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    log.warning("x", extra={"password": "p", "other": object()})
    assert json.loads(written()).keys() == {"event", "level", "timestamp"}


def test_a_console_line_has_the_time_the_level_and_the_text(written: Written, redact: Redactor) -> None:
    configure("info", "console", redact)
    with log_context(workspace="acme", run_id=7):
        log.warning("%s: %d added", "acme/widgets", 5)
    log.error("%")
    first, second, end = written().split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning acme/widgets: 5 added", first)
    assert re.fullmatch(r"\S+Z error   %", second)
    assert end == ""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", LEVELS)
def test_only_lines_of_the_level_or_above_are_written(
    written: Written, redact: Redactor, level: str, form: str
) -> None:
    configure(level, form, redact)
    for name in LEVELS:
        log.log(getattr(logging, name.upper()), "of level %s", name)
    assert re.findall(r"of level (\w+)", written()) == list(LEVELS[LEVELS.index(level) :])


def test_a_json_line_is_one_line_whatever_is_in_it(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    log.warning("a\nb\x1b[31m\r\u2028é😀")
    try:
        fail()
    except ValueError:
        log.exception("c\nd")
    first, second, end = written().split("\n")
    assert json.loads(first)["event"] == "a\nb\x1b[31m\r\u2028é😀"
    assert json.loads(second)["event"] == "c\nd"
    assert "Traceback" in json.loads(second)["exception"]
    assert end == ""


def test_a_console_line_is_one_line_that_steers_no_terminal(written: Written, redact: Redactor) -> None:
    configure("info", "console", redact)
    log.warning("a\n2026-01-02T12:00:00Z error   forged\x1b[2J")
    assert written().removesuffix("\n").isprintable()


@pytest.mark.parametrize("form", FORMATS)
def test_no_line_shows_a_secret_wherever_it_comes_from(written: Written, redact: Redactor, form: str) -> None:
    configure("debug", form, redact)
    log.warning(f"in the text {KEY}")  # noqa: G004 that is the point
    log.warning("in an argument %s", KEY)
    with log_context(project=KEY, workspace=f"x{KEY}x"):
        log.warning("in a field")
    logging.getLogger("urllib3.connectionpool").debug("of another library: GET /?api_key=%s", KEY)
    try:
        fail()
    except ValueError:
        log.exception("in a traceback")
    try:
        try:
            fail()
        except ValueError as error:
            raise KeyError("outer") from error
    except KeyError:
        log.warning("in the traceback of a cause", exc_info=True)
    text = written()
    assert KEY not in text
    assert text.count("***") >= 5
    for part in ("in the text", "in an argument", "in a field", "of another library", "in a traceback", "of a cause"):
        assert part in text
    assert text.count("Traceback") == 3


@pytest.mark.parametrize("form", FORMATS)
def test_no_traceback_shows_the_address_of_a_person(written: Written, redact: Redactor, form: str) -> None:
    configure("info", form, redact)
    log.error("a bug", exc_info=ValueError("no number for ann@example.com"))
    text = written()
    assert "no number for ***" in text
    assert "example.com" not in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_warning_of_python_is_a_line_without_secrets_like_any_other(
    written: Written, redact: Redactor, form: str
) -> None:
    configure("warning", form, redact)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # As it stands here, too: Python shows the line that warns.
        warnings.warn("deprecated: https://h/?api_key=s3cretKey123", DeprecationWarning, stacklevel=1)
    text = written()
    assert KEY not in text
    # Other packages change what stands between the two.
    assert "DeprecationWarning:" in text
    assert "deprecated: https://h/?api_key=***" in text
    assert text.count("\n") == 1


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on(written: Written, redact: Redactor) -> None:
    configure("info", "console", redact)
    redact.add("another-one")
    log.warning("the key is another-one")
    assert written().endswith("the key is ***\n")


def test_a_secret_is_hidden_as_json_writes_it(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    for secret in ('pass"word', "pass\\word", "pässwörd"):
        redact.add(secret)
        log.warning("the password is %s", secret)
        assert json.loads(written())["event"] == "the password is ***"


def test_a_line_that_can_not_be_formatted_shows_no_secret_either(written: Written, redact: Redactor) -> None:
    configure("info", "console", redact)
    log.warning("%d", KEY)
    assert KEY not in written()


def test_a_line_that_can_not_be_formatted_ends_nothing(written: Written, redact: Redactor) -> None:
    configure("info", "console", redact)
    log.warning("%d", "x")
    log.warning("and on it goes")
    assert "and on it goes" in written()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(BrokenStream(), id="broken"),
        pytest.param(
            None, id="closed",
        ),
    ],
)  # fmt: skip
def test_standard_error_that_can_not_be_written_ends_nothing(
    redact: Redactor, monkeypatch: pytest.MonkeyPatch, broken: object
) -> None:
    configure("info", "console", redact)
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", broken)
        log.warning("nobody reads this")
    assert logging.getLogger().handlers


def test_configuring_again_takes_the_place_of_what_was(written: Written, redact: Redactor) -> None:
    configure("info", "json", redact)
    configure("info", "console", redact)
    log.warning("once")
    assert written().count("once") == 1
