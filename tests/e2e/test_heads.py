"""What comes before an answer and behind it, and heads that can't be read, over real connections."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from rfsync.simulator import Answer, Body, Bytes, Exchange, Fault, Interim, Simulator, Surplus
from tests.e2e.conftest import HOST, KEY, Cli, MakeCli, batch, job, tls

#: An answer about another project, to whoever takes it.
FOREIGN = Answer(200, b'{"batches":[{"id":"foreign","images":999,"numJobs":0}]}')
#: A reader's buffer: what lies behind so many bytes of an answer over TLS is decrypted, and in no buffer.
BUFFER = 8192


def ask_in_turn(cli: Cli, faults: dict[str, Fault], expected: dict[str, str], **api: object) -> None:
    """Syncs projects one after the other, each of which meets a fault, and ends with the expected kind of error."""
    cli.simulator.compress = False
    cli.configure(api={"concurrency": 1, **api}, workspaces=[{"projects": [*faults]}])
    for number, (name, fault) in enumerate(faults.items()):
        cli.list(batch(name, number), project=name)
        cli.simulator.faults.add(f"/acme/{name}/batches", fault)
    done = cli.run("sync", "--json", code=1 if expected else 0)
    kinds = {name: one["error_kind"] for name, one in done.projects.items()}
    assert kinds == {**dict.fromkeys(faults), **expected}
    stored = cli.database.rows("SELECT project, batch_id FROM current_batches ORDER BY 1")
    assert stored == sorted((name, name) for name, one in done.projects.items() if one["outcome"] == "changed")
    assert "foreign" not in done.out + done.err


def test_an_interim_answer_is_not_the_answer_and_the_late_one_is_not_the_next_projects(fresh: Cli) -> None:
    faults: dict[str, Fault] = {
        "early-hints": Interim(pause=0.05),
        "several": Interim((100, 102, 103), pause=0.01),
        "at-once": Interim((103,) * 20),
        "before-a-304": Interim(),
        "plain": Interim(()),
    }
    ask_in_turn(fresh, faults, {})
    fresh.simulator.faults.add("/acme/before-a-304/batches", Interim())
    assert {one["outcome"] for one in fresh.run("sync", "--json").projects.values()} == {"unchanged"}
    assert fresh.database.one("SELECT count(*) FROM sync_runs WHERE http_status = 304") == len(faults)
    assert fresh.run("sync", "--json").err == ""


def test_the_deadline_is_for_all_interim_answers_together_and_so_is_their_number(fresh: Cli) -> None:
    faults: dict[str, Fault] = {"endless": Interim((103,) * 20, pause=0.2), "too-many": Interim((103,) * 21)}
    ask_in_turn(fresh, faults, {"endless": "timeout", "too-many": "network"}, deadline_seconds=1.0)


def test_an_answer_that_nobody_asked_for_is_nobodys(fresh: Cli) -> None:
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FOREIGN.body), FOREIGN.body)
    faults: dict[str, Fault] = {
        "behind": Surplus(FOREIGN),
        "behind-a-full-buffer": Surplus(FOREIGN, BUFFER),
        "behind-an-error": Body(b'{"error": "no"}' + b" " * 70_000, status=403),
        "behind-a-304": Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n" + surplus),
        "body-of-a-204": Bytes(b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n" + surplus),
        "body-of-a-redirect": Bytes(
            b"HTTP/1.1 302 X\r\nLocation: /acme/x/batches\r\nContent-Length: 0\r\n\r\n" + surplus
        ),
        "too-long": Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * 600_000 + surplus),
        "not-gzip": Bytes(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}" + surplus),
    }
    # After each of them another one, which may get its connection.
    healthy: dict[str, Fault] = {f"{name}-next": Interim(()) for name in faults}
    both = {name: fault for pair in zip(faults.items(), healthy.items(), strict=True) for name, fault in pair}
    expected = {
        "behind-an-error": "auth", "behind-a-304": "request", "body-of-a-204": "bad_response",
        "body-of-a-redirect": "not_found", "too-long": "bad_response", "not-gzip": "bad_response",
    }  # fmt: skip
    ask_in_turn(fresh, both, expected, max_response_bytes=100_000)


def test_an_answer_that_nobody_asked_for_is_nobodys_over_tls_either(
    make_cli: MakeCli, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    cli = make_cli(f"sqlite:///{tmp_path / 'tls.db'}")
    cli.env |= trusting
    with Simulator(cli.world, tls=tls(authority.issue_cert(HOST)), compress=False) as secure:
        cli.simulator = secure
        faults: dict[str, Fault] = {"behind": Surplus(FOREIGN), "next": Surplus(FOREIGN, BUFFER), "last": Interim(())}
        ask_in_turn(cli, faults, {})


HEADS = {
    "no-colon": b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\n[]",
    "no-http": b"<html>\r\n",
    "http-2": b"HTTP/2 200\r\n\r\n",
    "too-long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    "too-many": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n[]",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[] ",
    "unknown-coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: snappy\r\nContent-Length: 2\r\n\r\n[]",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "the-key": b"HTTP/1.1 200 OK\r\nno colon but " + KEY.encode() + b"\r\n",
    "the-key-cut": b"HTTP/1.1 200 OK\r\n" + b"x" * 220 + KEY.encode() * 9 + b"\r\n",
}


def test_a_head_that_can_not_be_read_ends_the_attempt_at_once_in_one_line(fresh: Cli) -> None:
    # Over connections that stay open: whoever waited for more would wait for the deadline, and call it that. The first
    # project has an answer, or the API would count as down.
    fresh.configure(api={"attempts": 2, "concurrency": 1}, workspaces=[{"projects": ["first", *HEADS]}])
    fresh.list(project="first")
    for name, head in HEADS.items():
        fresh.list(batch("b1", 1), project=name)
        fresh.simulator.faults.add(f"/acme/{name}/batches", Bytes(head), times=None)
    done = fresh.run("sync", "--json", code=1)
    failed = {name: done.projects[name] for name in HEADS}
    assert {(one["error_kind"], one["attempts"]) for one in failed.values()} == {("network", 2)}
    assert all(one["error"].startswith("the head of the answer is malformed: ") for one in failed.values())
    assert len(done.warnings.splitlines()) == len(HEADS)
    assert [part for part in (KEY, KEY[:12]) if part in done.out + done.err] == []


class Whole:
    """These bytes as an answer, over a connection that goes on: the job list is asked for over it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def perform(self, exchange: Exchange) -> None:
        exchange.send(self._data)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Type: multipart/mixed\r\nContent-Length: 2\r\n", id="a-mail-of-parts"),
        pytest.param(b"Content-Type: multipart/x; boundary=b\r\nContent-Length: 2\r\n", id="with-a-boundary"),
        pytest.param(b"Content-Type: message/rfc822\r\nContent-Length: 2\r\n", id="a-mail"),
        pytest.param(b"X: a\r\n b\r\nContent-Length:\r\n 2\r\n", id="continued-lines"),
        pytest.param(b"Content-Length: 2, 2\r\nContent-Length: 2\r\n", id="the-same-length-again"),
        pytest.param(b"Content-Length: 2\nX: y\n", id="line-feeds-alone"),
    ],
)
def test_an_odd_head_that_can_be_read_is_read_without_a_word(fresh: Cli, head: bytes) -> None:
    fresh.list(batch("b1", 1))
    fresh.world.set_jobs("acme/widgets", [job("j1", 3)])
    fresh.simulator.faults.add("*", Whole(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n[]"))
    project = (done := fresh.run("sync", "acme/widgets", "--json")).projects["widgets"]
    assert (project["batches"], project["jobs"], done.warnings) == (0, 1, "")


def test_a_length_beside_chunks_is_ignored_and_the_connection_is_not_used_again(fresh: Cli) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    ask_in_turn(fresh, {"both": Bytes(chunked), "next": Interim(())}, {})
