"""The endpoints: which request asks the source for what."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from rfsync.simulator.source import Source, UnknownObjectError
from rfsync.simulator.wire import Answer, encode, error_answer


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received."""

    method: str
    #: As sent, percent-encoded, without the query.
    path: str
    #: Decoded; the last value of each name.
    query: Mapping[str, str]
    #: By lower-case name; the last value of each.
    headers: Mapping[str, str]
    #: Time of arrival by ``time.monotonic()``, in seconds.
    at: float


def respond(
    request: Request,
    source: Source,
    keys: Collection[str] | Mapping[str, str] | None,
    *,
    wrapped: bool,
    page_size: int | None,
) -> Answer:
    """The correct answer to a request: from the source, or the error that Roboflow's API would give.

    Args:
        keys: the accepted API keys, or a mapping of each to the workspace that it opens; None: any.
        wrapped: put a single batch into an object ``batch``, a single job into an object ``job``.
        page_size: list that many batches or jobs, and say where the next ones are; None: list all.
    """
    key = _key(request)
    if not key or (keys is not None and key not in keys):
        return error_answer(401, "This API key does not exist (or has been revoked).", "OAuthException")
    own = keys[key] if isinstance(keys, Mapping) else None
    try:
        return _route(request, source, own, wrapped=wrapped, page_size=page_size)
    except UnknownObjectError as error:
        return error_answer(404, str(error))


def _key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.query.get("api_key", "")


def _route(request: Request, source: Source, own: str | None, *, wrapped: bool, page_size: int | None) -> Answer:
    """Args: ``own``: the only workspace that the key opens; None: it opens all."""
    parts = [unquote(part) for part in request.path.removesuffix("/").split("/")[1:]]
    if own is not None and parts and parts[0] != own:
        raise UnknownObjectError("/".join(parts))
    match request.method, parts:
        case _, []:
            # The official package checks its key and finds its workspace with POST /?api_key=… .
            return _answer({"welcome": "Welcome to the simulator.", "workspace": own or source.default_workspace})
        case "GET", [workspace]:
            return _answer(source.workspace(workspace))
        case "GET", [workspace, project]:
            return _answer(source.project(workspace, project))
        case "GET", [workspace, project, "batches"]:
            return _list(source.batches(workspace, project), "batches", page_size)
        case "GET", [workspace, project, "batches", batch_id]:
            return _answer(source.batch(workspace, project, batch_id), under="batch" if wrapped else "")
        case "GET", [workspace, project, "jobs"]:
            return _list(source.jobs(workspace, project), "jobs", page_size)
        case "GET", [workspace, project, "jobs", job_id]:
            return _answer(source.job(workspace, project, job_id), under="job" if wrapped else "")
        case _:
            raise UnknownObjectError("/".join(parts))


def _answer(value: object, under: str = "") -> Answer:
    if isinstance(value, Answer):
        return value
    body = encode(value)
    return Answer(200, b'{"' + under.encode() + b'":' + body + b"}" if under else body)


def _list(value: object, under: str, page_size: int | None) -> Answer:
    """The whole list, or its first page, with a token for the next one if there is any."""
    answer = _answer(value, under)
    if page_size is None:
        return answer
    records = json.loads(answer.body)[under]
    token = {"continuationToken": records[page_size - 1].get("id")} if len(records) > page_size else {}
    return replace(answer, body=encode({under: records[:page_size], **token}))
