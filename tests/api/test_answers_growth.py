"""However an answer is made, reading it takes work and memory in proportion to its length.

Work is counted and not timed: the calls made and the lines run in Python. What is slow within one call into C, as
looking something up in a list is, can't be seen here.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Final

import pytest

from rfsync.api.answers import parse, parse_one, parse_projects
from rfsync.api.failures import describe_error, error_message
from rfsync.api.list_kind import list_kind
from rfsync.errors import BadResponse
from rfsync.records import Kind

#: Records of the smaller answer, or as much of something else as is about as long.
SIZE: Final = 120
TIMES: Final = 4
#: Factor by which four times the answer may take more: room for what is allocated ahead.
MOST: Final = 5
#: Bytes, and steps, that reading anything at all may take; Python keeps some hundred emptied objects for the next.
LEAST_BYTES: Final = 32_768
LEAST_STEPS: Final = 100


def listed(records: Iterable[bytes]) -> bytes:
    return b"[%s]" % b",".join(records)


def each(n: int, record: bytes) -> bytes:
    """The record n times, with its number in it."""
    return listed(record % i for i in range(n))


def quick(fields: bytes) -> bytes:
    return b'[{"id":"a",%s},{"id":"b"}]' % fields


def slow(fields: bytes) -> bytes:
    """As ``quick``, with a count that only the slow reader takes."""
    return b'[{"id":"a",%s,"images":5.0},{"id":"b"}]' % fields


def times(n: int, part: bytes) -> bytes:
    return b",".join([part] * n)


def workspace(projects: bytes) -> bytes:
    return b'{"workspace":{"projects":%s}}' % projects


REST: Final = b'"name":"x","images":5,"numJobs":0,"uploaded":{"_seconds":1}'
#: What may be unkind to a reader.
SHAPES: Final[dict[str, Callable[[int], bytes]]] = {
    # Ids
    "in-order": lambda n: each(n, b'{"id":"%09d",' + REST + b"}"),
    "reverse-sorted": lambda n: listed(b'{"id":"%09d",%s}' % (n - i, REST) for i in range(n)),
    "ids-that-differ-at-the-end": lambda n: listed(b'{"id":"%s%09d"}' % (b"a" * 400, n - i) for i in range(n // 4)),
    "one-id-one-content": lambda n: listed([b'{"id":"a",%s}' % REST] * n),
    "one-id-each-content-another": lambda n: each(n, b'{"id":"a","images":%d}'),
    "pairs-that-contradict": lambda n: listed(b'{"id":"%d","images":%d}' % (i // 2, i) for i in range(n)),
    "half-of-them-contradict": lambda n: listed(b'{"id":"%d","images":%d}' % (i % (n * 3 // 4), i) for i in range(n)),
    "one-broken-and-many-good-of-an-id": lambda n: listed(
        [b'{"id":"a","images":-1}', *[b'{"id":"a"}'] * (n - 1), *(b'{"id":"%d"}' % i for i in range(n))]
    ),
    "every-id-once-broken-and-once-good": lambda n: listed(
        b'{"id":"%d"},{"id":"%d","images":-1}' % (i, i) for i in range(n // 2)
    ),
    "a-long-id": lambda n: b'[{"id":"%s"},{"id":"b"}]' % (b"x" * 64 * n),
    # Records
    "every-other-record-rejected": lambda n: listed(b'{"id":"%d"},0' % i for i in range(n)),
    "no-record-but-numbers": lambda n: listed([b"0"] * 8 * n),
    "every-record-broken": lambda n: each(n, b'{"id":"%d","images":-1}'),
    "every-record-read-slowly": lambda n: each(n, b'{"id":"%d","images":5.0}'),
    "no-json-at-the-end": lambda n: each(n, b'{"id":"%d"}') + b"x",
    "no-utf8-at-the-end": lambda n: each(n, b'{"id":"%d"}') + b"\xff",
    "a-lone-surrogate-at-the-end": lambda n: each(n, b'{"id":"%d"}')[:-1] + rb',{"id":"x","y":"\ud800"}]',
    "no-list-and-much-beside-it": lambda n: b'{"batches":null,"x":%s}' % each(n, b'{"id":"%d"}'),
    "the-list-many-times": lambda n: b"{%s}" % times(4 * n, b'"batches":[{"id":"a"}]'),
    # Texts
    "u0000-in-every-name": lambda n: each(n, rb'{"id":"%d","name":"\u0000"}'),
    "u0000-many-times-in-a-name": lambda n: quick(b'"name":"%s"' % (rb"\u0000" * 8 * n)),
    "lone-surrogates": lambda n: quick(b'"name":"%s"' % (rb"\ud800" * 8 * n)),
    "escapes": lambda n: quick(b'"name":"%s"' % (rb"\n\\\u00e9\ud83d\ude00" * 4 * n)),
    "backslashes-without-end": lambda n: b'[{"id":"%s' % (rb"\\" * 32 * n),
    "a-long-name": lambda n: quick(b'"name":"%s"' % (b"x" * 64 * n)),
    "a-long-name-read-slowly": lambda n: slow(b'"name":"%s"' % ("é" * 32 * n).encode()),
    "a-long-name-with-one-wide-character": lambda n: slow(b'"name":"%s\xf0\x9f\x98\x80"' % (b"x" * 64 * n)),
    "a-long-unknown-text": lambda n: quick(b'"x":"%s"' % (b"x" * 64 * n)),
    "a-text-without-end": lambda n: b'[{"id":"a","x":"%s' % (b"x" * 64 * n),
    # Numbers
    "a-long-number": lambda n: quick(b'"images":%s' % (b"9" * 64 * n)),
    "a-long-unknown-number": lambda n: slow(b'"x":%s' % (b"9" * 64 * n)),
    "a-long-number-that-means-little": lambda n: quick(b'"images":5%se-%d' % (b"0" * 64 * n, 64 * n)),
    "a-long-fraction-of-noughts": lambda n: quick(b'"images":5.%s' % (b"0" * 64 * n)),
    "a-long-fraction": lambda n: quick(b'"images":0.%s' % (b"3" * 64 * n)),
    "a-long-exponent": lambda n: quick(b'"images":1e%s' % (b"9" * 64 * n)),
    "a-long-exponent-of-nothing": lambda n: quick(b'"images":%se%s' % (b"0.0", b"9" * 64 * n)),
    "a-long-exponent-of-noughts": lambda n: quick(b'"images":5e%s' % (b"0" * 64 * n)),
    # Fields
    "a-known-field-many-times": lambda n: quick(times(8 * n, b'"images":5')),
    "a-known-field-many-times-read-slowly": lambda n: slow(times(8 * n, b'"name":"x"')),
    "many-fields": lambda n: slow(b",".join(b'"%d":0' % i for i in range(8 * n))),
    "a-wide-unknown-list": lambda n: quick(b'"x":[%s]' % times(32 * n, b"0")),
    "a-wide-unknown-list-read-slowly": lambda n: slow(b'"x":[%s]' % times(32 * n, b"0")),
    "empty-lists-and-objects": lambda n: slow(b'"x":[%s]' % times(8 * n, b"[],{}")),
    # Nesting
    "nested-in-every-record": lambda n: each(n // 4, b'{"id":"%d","x":' + b"[" * 200 + b"]" * 200 + b"}"),
    "nested-deeply": lambda n: slow(b'"x":%s%s' % (b"[" * 32 * n, b"]" * 32 * n)),
    "opened-and-never-closed": lambda n: b"[" * 64 * n,
    "objects-opened-and-never-closed": lambda n: b'{"a":' * 16 * n,
    # Space
    "nothing-but-space": lambda n: b" \n" * 32 * n,
    "space-around-everything": lambda n: b'[%s{"id"%s:"a"}%s]' % ((b" " * 20 * n,) * 3),
    # Jobs
    "jobs": lambda n: each(n, b'{"id":"%d","labeler":"a@b","sourceBatch":"p/b","annotated":5}'),
    "a-source-of-many-slashes": lambda n: quick(b'"sourceBatch":"%s"' % (b"/b" * 32 * n)),
    "a-labeler-of-nothing-but-space": lambda n: quick(b'"labeler":"%s"' % (b" " * 64 * n)),
    "many-addresses-in-no-list": lambda n: b'{"x":[%s]}' % times(4 * n, b'"a@b.c"'),
    "many-signs-of-addresses": lambda n: rb"@\u0040%40&#64" * 8 * n,
    # Other answers
    "a-batch": lambda n: b'{"batch":{"id":"a","name":"%s","x":[%s]}}' % (b"x" * 32 * n, times(16 * n, b"0")),
    "a-workspace": lambda n: workspace(each(n, b'{"id":"w/%d","name":"x"}')),
    "a-workspace-of-one-project": lambda n: workspace(listed([b'{"id":"w/p"}'] * n)),
    "a-workspace-without-ids": lambda n: workspace(each(n, b'{"id":"%d/"}')),
    "a-project-of-many-slashes": lambda n: workspace(b'[{"id":"%sp"}]' % (b"/" * 64 * n)),
    "an-error-of-many-words": lambda n: b'{"error":{"message":"%s"}}' % (rb"\u202e x" * 8 * n),
    "an-error-and-much-beside-it": lambda n: b'{"error":"x","y":%s}' % each(n, b'{"id":"%d"}'),
}
READERS: Final[dict[str, Callable[[bytes], object]]] = {
    "parse": parse,
    "parse as jobs": lambda body: parse(body, Kind.JOB),
    "list_kind": list_kind,
    "parse_one": lambda body: parse_one(body, "a"),
    "parse_projects": parse_projects,
    "error_message": error_message,
    "describe_error": lambda body: describe_error(BadResponse("x", body=body), str),
}


def steps(read: Callable[[bytes], object], body: bytes) -> int:
    """Calls made and lines run in Python."""
    counted = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    def traced(_frame: FrameType, _event: str, _argument: object) -> object:
        nonlocal counted
        counted += 1
        return traced

    tracer, profiler = sys.gettrace(), sys.getprofile()
    sys.settrace(traced)  # type: ignore[arg-type]
    sys.setprofile(called)
    try:
        with suppress(BadResponse):
            read(body)
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
    return counted


def peak(read: Callable[[bytes], object], body: bytes) -> int:
    """Bytes taken at most at one time."""
    tracemalloc.start()
    try:
        with suppress(BadResponse):
            read(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_four_times_the_answer_takes_no_more_than_in_proportion(shape: Callable[[int], bytes]) -> None:
    small, large = shape(SIZE), shape(TIMES * SIZE)
    for name, read in READERS.items():
        assert steps(read, large) <= MOST * steps(read, small) + LEAST_STEPS, name
        assert peak(read, large) <= MOST * peak(read, small) + LEAST_BYTES, name
