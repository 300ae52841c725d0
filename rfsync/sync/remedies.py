"""What to do about a failed request, by its status where that says more than the kind of the error."""

from typing import Final

from rfsync.api.route import EU, WORLD, origin
from rfsync.errors import ErrorKind, FetchError

_SETTINGS: Final = "in the workspace's settings at app.roboflow.com"
_BY_STATUS: Final = {
    401: f"compare the key, and check that it has the scopes to read the workspace and its batches, {_SETTINGS}",
    402: f"check the plan and the rest of its quota, {_SETTINGS}",
    403: f"use a key that may read this, or give this one the permission, {_SETTINGS}",
    423: f"check the billing, {_SETTINGS}",
}
#: Where a key may not see annotation jobs.
JOBS_REMEDY: Final = f"give the key the scope annotation-job:read, {_SETTINGS}; or write [jobs] sync = false"
#: ``{base_url}`` stands for where the base URL is set.
_BY_KIND: Final = {
    ErrorKind.AUTH: f"look at the key, {_SETTINGS}",
    ErrorKind.NOT_FOUND: "compare the id with the address app.roboflow.com/WORKSPACE/PROJECT; the key has to see it",
    ErrorKind.RATE_LIMITED: "lower [api] requests_per_second, and try again later",
    ErrorKind.NETWORK: (
        "look at the network, the proxy ($HTTPS_PROXY, $NO_PROXY) and {base_url}; "
        "if a proxy inspects TLS, name the file of its certificate authority in $REQUESTS_CA_BUNDLE"
    ),
    ErrorKind.TIMEOUT: "raise [api] deadline_seconds, or try again later",
    ErrorKind.SERVER: "Roboflow has a problem: try again later",
    ErrorKind.BAD_RESPONSE: "if {base_url} is right, look for a newer rfsync: this is not the API that this one knows",
    ErrorKind.REQUEST: "look at {base_url}",
    ErrorKind.DATABASE: "look at [database] url",
}


def remedy(error: FetchError, base_url: str, setting: str, *, known: bool) -> str:
    """What to do, in one line.

    Args:
        base_url: the address that was asked.
        setting: where it is set.
        known: the workspace is known to be there.
    """
    text = _BY_KIND[error.kind].format(base_url=setting)
    if error.http_status is not None:
        text = _BY_STATUS.get(error.http_status, text)
    other = None if known or error.http_status not in {401, 403, 404} else _other_host(base_url)
    if other is not None:
        kind = "an EU workspace" if other == EU else "not an EU workspace"
        text += f'; if it is {kind}, set base_url = "{other}" in its [[workspaces]] table'
    return text


def _other_host(base_url: str) -> str | None:
    """The other of Roboflow's hosts; None: this one is not Roboflow's."""
    others = {origin(WORLD): EU, origin(EU): WORLD}
    return others.get(origin(base_url))
