"""Which address answers what: the contract's endpoints, and the few more that the official package asks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from rfsync.simulator.source import Source, UnknownObjectError
from rfsync.simulator.wire import Answer, encode, error_answer, json_answer


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    #: As it was sent, percent-encoded, without the query.
    path: str
    #: Decoded; of a name given twice the last.
    query: Mapping[str, str]
    #: By lower-case name; of one given twice the last.
    headers: Mapping[str, str]
    #: When it came, as of ``time.monotonic()``.
    at: float


def respond(source: Source, request: Request, *, keys: Collection[str] | None, wrapped: bool) -> Answer:
    """Give the true answer to a request: that of the source, or the error that Roboflow's API would give.

    Args:
        source: what there is to tell.
        request: what is asked.
        keys: the API keys that are let in; None lets any in that is not empty.
        wrapped: give a single batch under ``{"batch": …}``.
    """
    key = _key(request)
    if not key or (keys is not None and key not in keys):
        return error_answer(401, "This API key does not exist (or has been revoked).", "OAuthException")
    parts = [unquote(part) for part in request.path.removesuffix("/").split("/")[1:]]
    try:
        return _found(source, request, parts, wrapped=wrapped)
    except UnknownObjectError as error:
        return error_answer(404, str(error))


def _key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.query.get("api_key", "")


def _found(source: Source, request: Request, parts: list[str], *, wrapped: bool) -> Answer:
    match request.method, parts:
        case _, []:
            # How the official package checks its key and learns its workspace: POST /?api_key=… .
            return json_answer({"welcome": "Welcome to the simulator.", "workspace": source.default_workspace})
        case "GET", [workspace]:
            return _answer(source.workspace(workspace))
        case "GET", [workspace, project]:
            return _answer(source.project(workspace, project))
        case "GET", [workspace, project, "batches"]:
            return _answer(source.batches(workspace, project), under="batches")
        case "GET", [workspace, project, "batches", batch_id]:
            return _answer(source.batch(workspace, project, batch_id), under="batch" if wrapped else "")
        case _:
            raise UnknownObjectError("/".join(parts))


def _answer(value: object, under: str = "") -> Answer:
    if isinstance(value, Answer):
        return value
    body = encode(value)
    return Answer(200, b'{"' + under.encode() + b'":' + body + b"}" if under else body)
