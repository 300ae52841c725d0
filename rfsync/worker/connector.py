"""procrastinate's way to the database: over rfsync's own connections, with its settings, retries and errors."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from typing import Any, Final, LiteralString

import psycopg
from procrastinate.connector import BaseAsyncConnector, Notify
from procrastinate.exceptions import UniqueViolation
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from rfsync.database.errors import translated
from rfsync.ledger.store import Store

#: Seconds between two looks whether the listening is to end.
_PATIENCE: Final = 0.5
#: Of PostgreSQL's message about a unique index: the value that is there already.
_DETAIL: Final = re.compile(r"Key \(queueing_lock\)=\((.*)\) already exists")


class Connector(BaseAsyncConnector):
    """Each statement is a transaction of a store, in a thread.

    Args:
        store: of a PostgreSQL database.
        threads: that transactions run in.
    """

    def __init__(self, store: Store, threads: Executor) -> None:
        self._store = store
        self._threads = threads

    async def open_async(self, pool: Any | None = None) -> None:
        """Nothing: the store connects when it needs to."""

    async def close_async(self) -> None:
        """Nothing: the store is closed by its owner."""

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Runs a statement."""
        await self._run(query, arguments, lambda _: None)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """Runs a statement, and returns its only row."""
        row: dict[str, Any] = await self._run(query, arguments, lambda cursor: cursor.fetchone())
        return row

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """Runs a statement, and returns its rows."""
        rows: list[dict[str, Any]] = await self._run(query, arguments, lambda cursor: cursor.fetchall())
        return rows

    async def _run(self, query: LiteralString, arguments: dict[str, Any], read: Callable[[Any], Any]) -> Any:
        values = {name: _wrapped(value) for name, value in arguments.items()}

        def work(connection: Connection) -> Any:
            driver: Any = connection.connection.driver_connection
            with driver.cursor(row_factory=dict_row) as cursor:
                try:
                    return read(cursor.execute(query, values))
                except psycopg.errors.UniqueViolation as error:
                    found = _DETAIL.search(error.diag.message_detail or "")
                    raise UniqueViolation(
                        constraint_name=error.diag.constraint_name, queueing_lock=found and found[1]
                    ) from None

        # What has ended has to be written down after a stop, too.
        transact = partial(self._store.transact, "working with the queue", work, essential=True)
        return await asyncio.get_running_loop().run_in_executor(self._threads, transact)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Calls ``on_notification`` for each notification, until it is cancelled."""
        ended = threading.Event()
        loop, names = asyncio.get_running_loop(), list(channels)

        def notify(notification: Any) -> None:
            if not ended.is_set():
                called = on_notification(channel=notification.channel, payload=notification.payload)
                asyncio.run_coroutine_threadsafe(_awaited(called), loop)

        # A thread of its own, since it is held for as long as this listens.
        thread: asyncio.Future[None] = loop.create_future()

        def listen() -> None:
            error: Exception | None = None
            try:
                self._listen(names, notify, ended)
            except Exception as raised:
                error = raised
            if not ended.is_set():
                loop.call_soon_threadsafe(_settle, thread, error)

        threading.Thread(target=listen, name="rfsync-listener", daemon=True).start()
        try:
            await thread
        finally:
            ended.set()

    def _listen(self, channels: Iterable[str], notify: Callable[[Any], None], ended: threading.Event) -> None:
        with translated("listening for new jobs"):
            pooled = self._store.engine.raw_connection()
            # Not to be given to others later: it would go on listening.
            driver: Any = pooled.driver_connection
            pooled.detach()
            with closing(driver):
                for channel in channels:
                    driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                while not ended.is_set():
                    for notification in driver.notifies(timeout=_PATIENCE):
                        notify(notification)


async def _awaited(coroutine: Any) -> None:
    await coroutine


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _wrapped(value: Any) -> Any:
    """A value as psycopg writes it: a dictionary is JSON."""
    if isinstance(value, dict):
        return Jsonb(value)
    if isinstance(value, list):
        return [_wrapped(one) for one in value]
    if isinstance(value, tuple):
        return tuple(_wrapped(one) for one in value)
    return value
