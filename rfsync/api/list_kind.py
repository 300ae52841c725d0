"""Telling lists of batches and of jobs apart by what is in them, where nobody can say which one was asked for."""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from rfsync.api.answers import BOM, decode_json
from rfsync.errors import BadResponse
from rfsync.records import Kind

#: Fields that only one kind of record has. Not those that either may well get, such as ``created``.
_SIGNS: Final = {
    Kind.BATCH: {"images", "numJobs", "uploaded"},
    Kind.JOB: {
        *("numImages", "annotated", "unannotated", "approved", "rejected", "labeler", "reviewer", "sourceBatch"),
    },
}
_WAY_OUT: Final = 'write {"batches": …} or {"jobs": …} around it'
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_decode = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def list_kind(body: bytes | bytearray) -> Kind:
    """The kind of a list: by its envelope, or of a bare one by the fields of its records.

    Raises:
        BadResponse: it is neither, or can't be told; the message says what to do.
    """
    body = body.removeprefix(BOM)
    decoded: object
    try:
        decoded = _decode(body)
    except _UNDECODABLE:
        decoded = decode_json(body)  # it takes lone surrogates, which may be in a name
    if isinstance(decoded, dict):
        return _enveloped(decoded.keys())
    if not isinstance(decoded, list):
        raise _neither()
    if not decoded:
        raise BadResponse('an empty list may be one of batches or of jobs: write {"batches": []} or {"jobs": []}')
    return _bare(decoded)


def _enveloped(keys: Collection[str]) -> Kind:
    found = [kind for kind in Kind if kind.value in keys]
    if len(found) > 1:
        raise BadResponse("it has a list of batches and one of jobs: save each in a file of its own")
    if not found:
        raise _neither()
    return found[0]


def _bare(records: Iterable[object]) -> Kind:
    fields: set[str] = set()
    for record in records:
        fields.update(_fields(record))
    signs = {kind: sorted(fields & signs) for kind, signs in _SIGNS.items() if fields & signs}
    if not signs:
        raise BadResponse(f"the fields of its records don't tell whether they are batches or jobs: {_WAY_OUT}")
    if len(signs) > 1:
        batch, job = (signs[kind][0] for kind in Kind)
        raise BadResponse(f"its records have fields of batches ({batch}) and of jobs ({job}): {_WAY_OUT}")
    return next(iter(signs))


def _fields(record: object) -> Iterable[str]:
    if isinstance(record, msgspec.Raw):
        try:
            return _decode_fields(record)
        except _UNDECODABLE:
            return ()  # no object
    return record if isinstance(record, dict) else ()


def _neither() -> BadResponse:
    return BadResponse("the answer is JSON, but neither a batch list nor a job list")
