"""The annotation jobs of the simulator, as a client sees them."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from rfsync.simulator import DOCUMENTED_JOB, Body, FixedWorld, Simulator, Status

JOBS: list[dict[str, Any]] = [DOCUMENTED_JOB, {"id": "a/b ü?", "numImages": 3, "labeler": None}]
EXAMPLE = f"/acme/widgets/jobs/{DOCUMENTED_JOB['id']}"


@pytest.fixture
def fixed() -> FixedWorld:
    return FixedWorld({"acme/widgets": [{"id": "b1"}], "acme/gears": []}, jobs={"acme/widgets": JOBS})


@pytest.fixture
def simulator(fixed: FixedWorld) -> Iterator[Simulator]:
    with Simulator(fixed) as simulator:
        yield simulator


def get(simulator: Simulator, path: str = "/acme/widgets/jobs", **headers: str) -> requests.Response:
    return requests.get(simulator.url + path, headers={"Authorization": "Bearer any", **headers}, timeout=60)


def test_a_list_of_jobs_and_each_by_its_id(simulator: Simulator, fixed: FixedWorld) -> None:
    reply = get(simulator)
    assert reply.json() == {"jobs": JOBS}
    assert get(simulator, **{"If-None-Match": reply.headers["ETag"]}).status_code == 304
    assert get(simulator, EXAMPLE).json() == DOCUMENTED_JOB
    assert get(simulator, "/acme/widgets/jobs/a%2Fb%20%C3%BC%3F").json() == JOBS[1]
    assert get(simulator, "/acme/gears/jobs").json() == {"jobs": []}
    for path in ("/acme/nothing/jobs", "/acme/widgets/jobs/b1", "/acme/gears/jobs/x", "/acme/widgets/batches/a%2Fb"):
        assert get(simulator, path).status_code == 404
    assert get(simulator, Authorization="").status_code == 401
    fixed.rename("acme/widgets", "acme/sprockets")
    assert get(simulator, "/acme/sprockets/jobs").json() == {"jobs": JOBS}
    fixed.remove("acme/sprockets")
    assert get(simulator, "/acme/sprockets/jobs").status_code == 404


@pytest.mark.parametrize(("size", "token"), [(1, {"continuationToken": DOCUMENTED_JOB["id"]}), (2, {})])
def test_jobs_can_come_wrapped_and_in_pages(fixed: FixedWorld, size: int, token: dict[str, str]) -> None:
    with Simulator(fixed, wrapped=True, page_size=size) as simulator:
        assert get(simulator).json() == {"jobs": JOBS[:size], **token}
        assert get(simulator, EXAMPLE).json() == {"job": DOCUMENTED_JOB}


def test_a_fixed_world_serves_any_jobs(simulator: Simulator, fixed: FixedWorld) -> None:
    for value, shown in (({"jobs": None}, {"jobs": None}), ([7, {"id": 3}], {"jobs": [7, {"id": 3}]})):
        fixed.set_jobs("acme/widgets", value)
        assert get(simulator).json() == shown
    fixed.set_jobs("acme/widgets", JOBS, bare=True)
    assert get(simulator).json() == JOBS
    fixed.set_job("acme/widgets", "j1", 403, {"error": "no"})
    assert (get(simulator, "/acme/widgets/jobs/j1").status_code, fixed.batches("acme", "widgets").status) == (403, 200)


def test_faults_of_the_job_list_alone(simulator: Simulator) -> None:
    simulator.faults.add("*/jobs", Body(b"{"))
    simulator.faults.add("*/jobs*", Status(403), times=None)
    statuses = [get(simulator, path).status_code for path in ("/acme/widgets/batches", "/acme/widgets/jobs", EXAMPLE)]
    assert statuses == [200, 200, 403]
    assert get(simulator).status_code == 403
