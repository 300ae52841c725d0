"""The real daemon while projects are renamed, deleted and restored."""

from __future__ import annotations

from tests.e2e.conftest import Cli, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_any_request, await_runs


def test_it_follows_a_rename_and_forgets_what_departs(cli: Cli, start: Start) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}], more=QUICK + LISTEN)
    cli.list(batch("a", 10))
    cli.list(batch("g", 5), project="gears")
    daemon = start(cli)
    for project in ("widgets", "gears"):
        await_runs(cli, project, "unchanged", 1)
    before = cli.database.column("SELECT id FROM batch_changes ORDER BY id")

    cli.world.rename("acme/widgets", "acme/sprockets")
    daemon.await_line("acme/widgets was renamed to acme/sprockets", level="warning")
    await_runs(cli, "sprockets", "unchanged", 4)
    assert cli.database.column("SELECT project FROM projects ORDER BY project") == ["gears", "sprockets"]
    assert cli.database.column("SELECT id FROM batch_changes ORDER BY id") == before
    assert daemon.await_health(200)["projects"] == 2

    cli.world.remove("acme/gears")
    daemon.await_line("acme/gears: it is gone", level="warning")
    while daemon.await_health(200)["projects"] != 1:
        await_any_request(cli)
    ended = cli.database.column(
        "SELECT count(*) FROM sync_runs r JOIN projects p ON p.id = r.project_id WHERE project = 'gears'"
    )
    await_runs(cli, "sprockets", "unchanged", 8)
    # It has no runs while nothing is due, and no numbers.
    assert ended == cli.database.column(
        "SELECT count(*) FROM sync_runs r JOIN projects p ON p.id = r.project_id WHERE project = 'gears'"
    )
    assert [*daemon.metrics()["rfsync_project_images"]] == [("acme", "sprockets")]
    daemon.stop()
    events = [line["event"] for line in daemon.lines if line["level"] in {"warning", "error"}]
    assert [event.partition(":")[0] for event in events] == ["acme/sprockets", "acme/gears"]
    cli.verify()


def test_a_configured_project_that_is_none_is_polled_on_and_leaves_nothing(cli: Cli, start: Start) -> None:
    cli.configure(workspaces=[{"projects": ["widgets", "widgts"]}], more=QUICK + LISTEN)
    cli.list(batch("a", 10))
    daemon = start(cli)
    for _ in range(2):
        line = daemon.await_line("acme/widgts: not_found: HTTP 404", project="widgts")
        assert "; did you mean acme/widgets?" in line["event"]
    (stale,) = daemon.await_health(503)["stale"]
    assert (stale["project"], stale["error_kind"]) == ("widgts", "not_found")
    # While a run of it is under way, it is there.
    while [*daemon.metrics()["rfsync_project_images"]] != [("acme", "widgets")]:
        await_any_request(cli)
    daemon.await_line("acme/widgts: not_found: HTTP 404")
    daemon.stop()
    assert cli.database.column("SELECT project FROM projects") == ["widgets"]
    assert cli.database.column("SELECT DISTINCT project_id FROM sync_runs") == cli.database.column(
        "SELECT id FROM projects"
    )
    # Once it is there, it is a project like any other.
    cli.list(batch("b", 1), project="widgts")
    assert cli.sync(target="acme/widgts")["images_delta"] == 1
