"""The least code that fetches and decodes batch lists; shared by the floor and plain SQLAlchemy Core."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import msgspec
import requests

CONCURRENCY = 8
KEY = {"Authorization": "Bearer bench"}
#: Project, id, uploaded (microseconds since 1970), name, images, jobs.
Row = tuple[str, str, int, str, int, int]


class Uploaded(msgspec.Struct, gc=False):
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
    uploaded: Uploaded


class Answer(msgspec.Struct, gc=False):
    batches: list[Batch]


class Fetcher:
    """One session and its threads, kept for as long as the process polls."""

    def __init__(self, api: str, projects: list[str]) -> None:
        self._api, self._projects = api, projects
        self._session = requests.Session()
        self._pool = ThreadPoolExecutor(CONCURRENCY)

    def fetch(self) -> list[Row]:
        """Every batch of every project."""
        return list(chain.from_iterable(self._pool.map(self._fetch, self._projects)))

    def _fetch(self, project: str) -> list[Row]:
        body = self._session.get(f"{self._api}/acme/{project}/batches", headers=KEY).content
        batches = msgspec.json.decode(body, type=Answer).batches
        return [(project, one.id, one.uploaded.microseconds, one.name, one.images, one.jobs) for one in batches]

    def close(self) -> None:
        self._pool.shutdown()
        self._session.close()
