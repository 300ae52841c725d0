"""An API that is down is hardly asked any more; one that answers is asked as always."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from rfsync.api.client import Response
from rfsync.errors import Cancelled, ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.circuit_breaker import CircuitBreaker

KEY = Secret("key")


class Api:
    """Fails or answers as it is told, and remembers with how many attempts each project was asked for."""

    def __init__(self) -> None:
        self.failure: Exception | None = FetchError(ErrorKind.NETWORK, "no connection")
        self.asked: list[int | None] = []
        self.cancelled = False

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        self.asked.append(attempts)
        if self.failure is not None:
            raise self.failure
        return Response(200, bytearray(b"[]"), etag, "", datetime(2026, 1, 1, tzinfo=UTC), 1)

    def cancel(self) -> None:
        self.cancelled = True


def ask(circuit: CircuitBreaker, times: int = 1, workspace: str = "acme") -> list[str]:
    """What became of so many projects in their first turn."""
    became = []
    for number in range(times):
        if circuit.should_defer(workspace):
            became.append("put off")
            continue
        try:
            circuit.get(workspace, f"p{number}", "batches", key=KEY)
            became.append("answered")
        except FetchError:
            became.append("failed")
    return became


def test_after_five_failures_only_the_first_third_sixth_and_so_on_is_tried_and_once_each() -> None:
    api = Api()
    became = ask(CircuitBreaker(api), 5 + 1 + 1 + 1 + 2 + 1 + 4 + 1 + 3)
    expected = ["failed"] * 6 + ["put off", "failed"] + ["put off"] * 2 + ["failed"] + ["put off"] * 4
    assert became == [*expected, "failed", *["put off"] * 3]
    assert api.asked == [None] * 5 + [1] * 4


def test_the_first_answer_closes_it_for_good() -> None:
    api = Api()
    circuit = CircuitBreaker(api)
    assert ask(circuit, 7)[-1] == "put off"
    api.failure = None
    assert ask(circuit, 3) == ["answered"] * 3
    circuit.start_last_round()
    api.failure = FetchError(ErrorKind.SERVER, "HTTP 503")
    assert ask(circuit, 20) == ["failed"] * 20
    assert api.asked[-20:] == [None] * 20


@pytest.mark.parametrize("kind", [*ErrorKind])
def test_only_what_says_that_the_api_is_down_opens_it(kind: ErrorKind) -> None:
    api = Api()
    api.failure = FetchError(kind, "no")
    down = kind in {ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.RATE_LIMITED}
    assert ("put off" in ask(CircuitBreaker(api), 20)) is down


def test_one_answer_among_the_first_keeps_it_closed() -> None:
    api = Api()
    circuit = CircuitBreaker(api)
    ask(circuit, 4)
    api.failure = FetchError(ErrorKind.AUTH, "HTTP 403")
    ask(circuit)
    api.failure = FetchError(ErrorKind.TIMEOUT, "too late")
    assert ask(circuit, 20) == ["failed"] * 20


def test_in_the_last_round_nothing_is_asked_of_an_api_that_never_answered(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    api.failure = FetchError(ErrorKind.TIMEOUT, "too late", http_status=None, attempts=5)
    circuit = CircuitBreaker(api)
    ask(circuit, 7)
    asked = len(api.asked)
    circuit.start_last_round()
    for _ in range(3):
        with pytest.raises(FetchError) as caught:
            circuit.get("acme", "widgets", "batches", key=KEY)
        assert (caught.value.kind, caught.value.attempts) == (ErrorKind.TIMEOUT, 0)
        assert str(caught.value) == (
            "not asked: the API has failed for each of 6 projects of this run, and answered none (last: too late)"
        )
    assert (len(api.asked), len(caplog.messages)) == (asked, 1)


def test_while_one_is_tried_the_others_wait_for_how_it_ends() -> None:
    began, release = threading.Event(), threading.Event()

    class Slow(Api):
        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            if attempts == 1:
                began.set()
                assert release.wait(60)
                self.failure = None
            return super().get(*segments, key=key, etag=etag, attempts=attempts)

    api = Slow()
    circuit = CircuitBreaker(api)
    ask(circuit, 5)
    with ThreadPoolExecutor(8) as pool:
        tried = [pool.submit(ask, circuit) for _ in range(8)]
        assert began.wait(60)
        assert api.asked == [None] * 5
        release.set()
        assert [future.result(60) for future in tried] == [["answered"]] * 8


def test_once_it_is_cancelled_all_are_cancelled_and_nobody_is_held_up() -> None:
    api = Api()
    circuit = CircuitBreaker(api)
    ask(circuit, 6)
    api.failure = Cancelled("asked to stop")
    circuit.cancel()
    assert api.cancelled
    for _ in range(3):
        assert not circuit.should_defer("acme")
        with pytest.raises(Cancelled):
            circuit.get("acme", "widgets", "batches", key=KEY)


def test_each_api_is_judged_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    class Apis(Api):
        """One fails for all its workspaces, the other answers."""

        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            if segments[0] == "acme":
                self.asked.append(attempts)
                return Response(200, bytearray(b"[]"), etag, "", datetime(2026, 1, 1, tzinfo=UTC), 1)
            return super().get(*segments, key=key, etag=etag, attempts=attempts)

    eu = "https://api.roboflow.eu"
    api = Apis()
    circuit = CircuitBreaker(api, {"one": eu, "two": eu})
    # Together, both workspaces of one API are enough to say that it is down.
    assert ask(circuit, 3, "one") + ask(circuit, 2, "two") + ask(circuit, 2, "one") == ["failed"] * 6 + ["put off"]
    assert ask(circuit, 20) == ["answered"] * 20
    assert api.asked == [None] * 5 + [1] + [None] * 20
    assert ask(circuit, 1, "two") == ["failed"]
    circuit.start_last_round()
    with pytest.raises(FetchError, match=r"not asked: the API at https://api\.roboflow\.eu has failed for each of 7"):
        circuit.get("one", "p", "batches", key=KEY)
    assert ask(circuit) == ["answered"]
    (line,) = caplog.messages
    assert line.startswith(f"the API at {eu} has failed for each of 5 projects")


def test_while_one_api_is_tried_nobody_waits_for_another() -> None:
    began, release = threading.Event(), threading.Event()

    class Slow(Api):
        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            if attempts == 1:
                began.set()
                assert release.wait(60)
            return super().get(*segments, key=key, etag=etag, attempts=attempts)

    circuit = CircuitBreaker(Slow(), {"one": "https://api.roboflow.eu"})
    ask(circuit, 5, "one")
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(ask, circuit, 1, "one")
        assert began.wait(60)
        assert ask(circuit, 3) == ["failed"] * 3
        release.set()
        assert trial.result(60) == ["failed"]
