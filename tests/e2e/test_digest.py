"""``rfsync digest`` as a command; what its lines say is in tests/digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.digest.test_notify import SECRETS, Receiver, receiver
from tests.e2e.conftest import KEY, Cli, batch, job

__all__ = ["receiver"]


def test_a_digest_in_each_form_and_what_is_wrong_with_the_sync(fresh: Cli) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.world.set_jobs("acme/widgets", [job("j1", 5)])
    fresh.configure(more="[jobs]\nsync = false\n")
    fresh.run("sync", "acme/widgets")
    assert "Jobs:" not in fresh.run("digest").out
    fresh.configure()
    assert "Jobs: Annotation jobs were never asked for" in fresh.run("digest").out
    fresh.run("sync", "acme/widgets")
    assert "WRONG" not in fresh.run("digest").out
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}, {"id": "other"}])
    text = fresh.run("digest").out
    assert text.startswith("Sync problem. Annotation batches of all projects: ")
    assert "WRONG: 2 of 3 projects may be out of date. acme/gears: it was never observed; other/*: none of its" in text
    assert "In no job: 10 images now, in 1 batch\n" in text
    # It has to be fresh only while it is configured.
    fresh.configure(workspaces=[{"projects": ["gears"]}])
    fresh.run("digest", "acme/widgets", "--since", "2026-01-01")
    found = fresh.run("digest", "--format", "json").json
    assert [(row["project"], row["reason"]) for row in found["problems"]] == [("gears", "it was never observed")]
    assert (found["images"], found["projects"], found["change"]["first_observed"]) == (10, 2, 1)
    assert fresh.run("digest", "--format", "html").out.startswith("<!doctype html>")
    assert fresh.run("digest", "--format", "markdown").out.startswith("**Sync problem")


@pytest.mark.new_python
def test_it_is_sent_and_its_url_is_never_shown(fresh: Cli, receiver: Receiver) -> None:
    fresh.list(batch("b1", 10, name="@channel <!here>"))
    fresh.run("sync", "acme/widgets")
    file = fresh.folder / "notify.url"
    file.write_text(f"{receiver.url()}\n")
    file.chmod(0o604)
    env, debug = {"RFSYNC_NOTIFY_URL_FILE": file.name}, ("--log-level", "debug", "digest", "--notify")
    done = [fresh.run(*debug, env=env)]
    assert done[0].out == ""
    assert "everybody on this machine can read 'notify.url', which has URLs with secrets: chmod 600 it" in done[0].err
    (sent,) = receiver.received
    assert sent["title"].startswith("Annotation batches of all projects: ")
    assert "“＠channel ‹!here›” of acme/widgets (10 images, for " in sent["message"]
    receiver.status = 500
    done.append(fresh.run(*debug, "--format", "html", code=1, env=env))
    assert "error: the digest could not be delivered" in done[1].err
    assert "line 1 of 'notify.url' (JSON): it answered with HTTP 500" in done[1].err
    # Nothing is done where it can't be sent.
    for arguments, said in (
        (("digest", "--notify"), "set $RFSYNC_NOTIFY_URL, or set $RFSYNC_NOTIFY_URL_FILE to the name of a file"),
        (("digest", "--notify", "--format", "json"), "leave out --format json"),
        (("digest", "--since", "2999-01-01"), "--since '2999-01-01' is not in the past"),
        (("digest", "acme/unknown"), "the database has no acme/unknown"),
    ):
        assert said in fresh.run(*arguments, code=2).err
    done.append(fresh.run("digest", "--notify", code=2, env={"RFSYNC_NOTIFY_URL": f"unknown://{SECRETS[0]}/{KEY}"}))
    said = "".join(text for one in done for text in (one.out, one.err))
    assert [secret for secret in (*SECRETS, "json://", KEY) if secret in said] == []


def test_without_apprise_it_says_what_to_install(fresh: Cli, tmp_path: Path) -> None:
    fresh.list(batch("b1", 10))
    fresh.run("sync", "acme/widgets")
    (tmp_path / "apprise.py").write_text("raise ModuleNotFoundError(\"No module named 'apprise'\", name='apprise')")
    env = {"RFSYNC_NOTIFY_URL": "json://127.0.0.1:1/s3cret-path", "PYTHONPATH": str(tmp_path)}
    done = fresh.finish(fresh.start("digest", "--notify", env=env), 2)
    assert "error: --notify needs apprise: pip install apprise" in done.err
    assert "s3cret" not in done.err
