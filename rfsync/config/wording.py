"""Values of the wrong type: what they have to be instead, and the line as it should be.

Text is repeated only where it is an id: anywhere else it may be an API key, pasted into the wrong place.
"""

import json
import re
from typing import Any, Final

from rfsync.config.tables import (
    DEFAULT_KEY_ENV,
    ApiConfig,
    DaemonConfig,
    DatabaseConfig,
    JobsConfig,
    RemovalsConfig,
    ScheduleConfig,
)

#: Key -> a value for an example: the default, if there is one.
EXAMPLES: Final[dict[str, Any]] = {
    key: getattr(table, key)
    for table in (DatabaseConfig(), ApiConfig(), RemovalsConfig(), JobsConfig(), ScheduleConfig(), DaemonConfig())
    for key in table.__struct_fields__
} | {
    "every": "5m",
    "cron": "*/5 * * * *",
    "jitter": "10s",
    "recheck": "1d",
    "unchanged_runs": "30d",
    "id": "acme",
    "api_key_env": DEFAULT_KEY_ENV,
    "api_key_file": "/run/secrets/roboflow",
    "projects": ["*"],
    "exclude": ["scratch-*"],
}
#: Key -> the values that it may have, where they are few.
_CHOICES: Final = {
    "auth": '"bearer" or "query"',
    "sync": '"auto", true or false',
    "people": '"address" or "pseudonym"',
}
_LIMITS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def assignment(key: str, value: object) -> str:
    """A line of the file."""
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def type_error(what: str, key: str, value: Any) -> str:
    """What is wrong with a value, and the corrected line.

    Args:
        what: msgspec's words for it.
        key: of the value.
        value: from TOML.
    """
    example = EXAMPLES[key]
    if isinstance(example, list):
        return f"must be a list of texts: write {assignment(key, _as_list(value) or example)}"
    if isinstance(example, int | float):
        return _number_error(what, key, value)
    if key in _CHOICES:
        meant = value == "true" if key == "sync" and value in ("true", "false") else example
        return f"must be {_CHOICES[key]}: write {assignment(key, meant)}"
    return f"must be text in quotes: write {assignment(key, str(value) if key == 'id' else example)}"


def _as_list(value: Any) -> list[str]:
    """What a list was probably meant to be; empty: there is no telling."""
    parts = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(part) for part in parts] if all(isinstance(part, str | int) and part != "" for part in parts) else []


def _number_error(what: str, key: str, value: Any) -> str:
    kind = "a whole number" if isinstance(EXAMPLES[key], int) else "a number"
    limit = re.search(r"` (>=|<=|>|<) ([0-9]+)", what)
    if limit is not None:
        return f"must be {_LIMITS[limit[1]]} {limit[2]}, and {value} is not: such as {assignment(key, EXAMPLES[key])}"
    if isinstance(value, str) and (digits := re.fullmatch(r"([0-9]{1,9})\s?s?", value.strip())):
        return f"must be {kind}, without quotes or unit: write {key} = {digits[1]}"
    if isinstance(value, float) and value.is_integer():
        return f"must be {kind}: write {key} = {value:.0f}"
    return f"must be {kind}: such as {assignment(key, EXAMPLES[key])}"
