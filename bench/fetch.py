"""The least code that fetches and decodes lists; shared by the floor and plain SQLAlchemy Core."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import msgspec
import requests
from requests.adapters import HTTPAdapter

CONCURRENCY = 8
KEY = {"Authorization": "Bearer bench"}
#: Project, id, uploaded (microseconds since 1970), name, images, jobs.
Row = tuple[str, str, int, str, int, int]
#: Project, id, created (microseconds since 1970), name, status, labeler, reviewer, id of the batch, created by, images,
#: annotated, unannotated, approved, rejected.
JobRow = tuple[str, str, int, str, str, str, str, str, str, int, int, int, int, int]


class Timestamp(msgspec.Struct, gc=False):
    seconds: int = msgspec.field(name="_seconds")
    nanoseconds: int = msgspec.field(name="_nanoseconds")

    @property
    def microseconds(self) -> int:
        return self.seconds * 1_000_000 + self.nanoseconds // 1000


class Batch(msgspec.Struct, gc=False):
    id: str
    name: str
    images: int
    jobs: int = msgspec.field(name="numJobs")
    uploaded: Timestamp


class Batches(msgspec.Struct, gc=False):
    batches: list[Batch]


class Job(msgspec.Struct, gc=False, rename="camel"):
    id: str
    name: str
    status: str
    labeler: str
    reviewer: str
    source_batch: str
    created_by: str
    created: Timestamp
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int


class Jobs(msgspec.Struct, gc=False):
    jobs: list[Job]


class Fetcher:
    """One session and its threads, kept for as long as the process polls."""

    def __init__(self, api: str, projects: list[str], concurrency: int = CONCURRENCY) -> None:
        self._api, self._projects = api, projects
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=concurrency))
        self._pool = ThreadPoolExecutor(concurrency)

    def fetch(self) -> list[Row]:
        """Every batch of every project."""
        return list(chain.from_iterable(self._pool.map(self._fetch, self._projects)))

    def fetch_jobs(self) -> list[JobRow]:
        """Every job of every project."""
        return list(chain.from_iterable(self._pool.map(self._fetch_jobs, self._projects)))

    def _fetch(self, project: str) -> list[Row]:
        batches = msgspec.json.decode(self._get(project, "batches"), type=Batches).batches
        return [(project, one.id, one.uploaded.microseconds, one.name, one.images, one.jobs) for one in batches]

    def _fetch_jobs(self, project: str) -> list[JobRow]:
        jobs = msgspec.json.decode(self._get(project, "jobs"), type=Jobs).jobs
        return [
            (
                project, one.id, one.created.microseconds, one.name, one.status, one.labeler, one.reviewer,
                one.source_batch.rpartition("/")[2], one.created_by,
                one.num_images, one.annotated, one.unannotated, one.approved, one.rejected,
            )
            for one in jobs
        ]  # fmt: skip

    def _get(self, project: str, kind: str) -> bytes:
        return self._session.get(f"{self._api}/acme/{project}/{kind}", headers=KEY).content

    def close(self) -> None:
        self._pool.shutdown()
        self._session.close()
