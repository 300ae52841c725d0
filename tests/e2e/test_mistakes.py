"""What somebody mistyped: each message says what was asked or written, and what to write instead."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rfsync.simulator import Body, Status
from tests.e2e.conftest import Cli, batch


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_target_that_is_none_leaves_nothing_and_the_likely_one_is_named(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}])
    cli.list(batch("b1", 1))
    cli.list(batch("g1", 1), project="gears")
    cli.run("sync")
    before, status = cli.database.dump(), cli.run("status").out.split()[:1]
    for target, meant, asked in (
        ("acme/widgts", "acme/widgets", "/acme/widgts/batches"),
        ("acmee/widgets", "acme/widgets", "/acmee/widgets/batches"),
        ("acme/gear", "acme/gears", "/acme/gear/batches"),
        ("acmee", "acme", "/acmee"),
        ("widgets", "acme/widgets", "/widgets"),
    ):
        done = cli.run("sync", target, "--json", code=1)
        (project,) = done.json["projects"]
        assert (project["outcome"], project["error_kind"], project["run_id"]) == ("failed", "not_found", None)
        assert f"; did you mean {meant}?" in project["error"]
        assert f"asked: {cli.simulator.url}{asked}" in project["error"]
        assert f"did you mean {meant}?" in done.err
    assert "did you mean" not in cli.sync(target="acme/nothing-like-it", code=1)["error"]
    assert cli.database.dump() == before
    assert cli.run("status").out.split()[:1] == status
    assert cli.run("status", "--max-age", "1d").err == ""


def test_the_wrong_address_is_said_with_what_sets_it(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.simulator.faults.add("/html/acme/widgets/batches", Body(b"<html>Welcome"), times=None)
    fresh.simulator.faults.add("/gone/acme/widgets/batches", Status(404, body=b"<html>Not here"), times=None)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for base_url, words in (
            (fresh.simulator.url + "/html", f"asked: {fresh.simulator.url}/html/acme/widgets/batches"),
            (fresh.simulator.url + "/gone", f"asked: {fresh.simulator.url}/gone/acme/widgets/batches"),
            (silent, f"no connection to {silent}"),
        ):
            fresh.configure(api={"base_url": base_url})
            error = fresh.sync(code=1)["error"]
            assert words in error
            assert error.endswith("; if that is the wrong address, correct [api] base_url")
        fresh.configure(workspaces=[{"projects": ["widgets"], "base_url": silent}])
        setting = "base_url in the [[workspaces]] table of acme"
        assert fresh.sync(code=1)["error"].endswith(f"; if that is the wrong address, correct {setting}")


def test_a_name_in_place_of_the_id_of_a_batch(fresh: Cli) -> None:
    fresh.list(batch("b 1", 1, name="Upload via API"), batch("b2", 1, name="Upload via API"), batch("b3", 1))
    fresh.sync()
    error = fresh.sync("--batch", "Upload via API", code=1)["error"]
    assert error.startswith(
        "no batch has the id 'Upload via API', which is a name: write the id, --batch 'b 1' --batch b2; HTTP 404"
    )
    assert fresh.sync("--batch", "Upload", code=1)["error"].startswith("HTTP 404")
    assert "rfsync sync WORKSPACE/PROJECT --batch b2" in fresh.run("sync", "acme", "--batch", "b2", code=2).err


def test_a_file_in_place_of_the_url_of_a_database(fresh: Cli) -> None:
    right = "can't be read: write sqlite:///rfsync.db"
    assert f"--database {right}" in fresh.run("verify", "--database", "rfsync.db", code=2).err
    done = fresh.run("verify", code=2, env={"RFSYNC_DATABASE_URL": "rfsync.db"})
    assert f"$RFSYNC_DATABASE_URL {right}" in done.err
    (fresh.folder / "rfsync.toml").write_text('[database]\nurl = "rfsync.db"\n')
    assert f"[database] url {right}" in fresh.run("verify", code=2).err


def test_a_server_that_is_none_is_named_with_what_names_it(fresh: Cli) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://rfsync:hunter22@127.0.0.1:{nobody.getsockname()[1]}/labels"
        way_out = "; if that is the wrong server or name, correct {}\n"
        (fresh.folder / "rfsync.toml").write_text(f'[database]\nurl = "{url}"\n')
        for arguments, env, source in (
            (["--database", url], {}, "--database"),
            ([], {"RFSYNC_DATABASE_URL": url}, "$RFSYNC_DATABASE_URL"),
            ([], {}, "[database] url"),
        ):
            for command in (["sync", "acme/widgets"], ["verify"]):
                done = fresh.run(*command, *arguments, code=3, env=env)
                assert done.err.endswith(way_out.format(source))
                assert f"port {nobody.getsockname()[1]} failed" in done.err
                assert "hunter22" not in done.err


def test_a_folder_in_place_of_a_database_and_a_folder_that_is_not_there(fresh: Cli) -> None:
    done = fresh.run("sync", "acme/widgets", "--database", f"sqlite:///{fresh.folder}", code=3)
    assert f"is a folder: name a file in it, such as sqlite:///{fresh.folder}/rfsync.db" in done.err
    done = fresh.run("sync", "acme/widgets", "--database", f"sqlite:///{fresh.folder}/none/x.db", code=3)
    assert done.err.endswith(f"its folder does not exist; make it: mkdir -p {fresh.folder}/none\n")


def test_an_exclude_that_leaves_nothing_is_quoted(fresh: Cli) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"], "exclude": ["w*"]}])
    done = fresh.run("sync", code=2)
    assert "exclude = ['w*'] in its [[workspaces]] table leaves none of ['widgets']" in done.err


def test_a_port_that_is_taken(fresh: Cli, taken: int) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=f'[daemon]\nlisten = "127.0.0.1:{taken}"\n')
    other = f"127.0.0.1:{taken + 1}"
    why = f"Address already in use: another program has port {taken}; stop that one, or write another port, such as"
    done = fresh.run("simulate", "--listen", f"127.0.0.1:{taken}", code=2)
    assert done.err == f"rfsync: error: --listen 127.0.0.1:{taken}: {why} --listen {other}\n"
    done = fresh.run("daemon", code=2)
    assert f'[daemon] listen = "127.0.0.1:{taken}": {why} [daemon] listen = "{other}"' in done.err
