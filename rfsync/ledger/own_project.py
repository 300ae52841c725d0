"""The project that a run may write to, which may have become part of another or been dropped since the run began."""

from sqlalchemy import Connection

from rfsync.database.sqlite import FILE_NUMBER
from rfsync.errors import DatabaseError
from rfsync.ledger.projects import ProjectState, read_state
from rfsync.ledger.runs import ProjectDropped, Run, project_of_run


def require_same_file(connection: Connection, run: Run) -> None:
    """Passes if the connection is to the file that the run began in: another has other runs under the same numbers.

    Raises:
        DatabaseError: it is to another one.
    """
    if run.id is not None and connection.info.get(FILE_NUMBER) != run.file_number:
        raise DatabaseError("another file has taken the place of the database in the middle of the run")


def lock_own_project(connection: Connection, run: Run) -> ProjectState:
    """The project of a run that has a row, locked.

    Raises:
        ProjectDropped: it is no longer in the database.
    """
    project_id = run.project_id
    # SQLite gives the number of a deleted project to another.
    if run.file_number is not None or run.old is not None:
        own = project_of_run(connection, run)
        project_id = own if run.old is None else project_id
    state = None if project_id is None else read_state(connection, project_id, lock=True)
    if state is None:
        # Another run found meanwhile that it is a renamed one, and has made the two one.
        state = read_state(connection, project_of_run(connection, run), lock=True)
    if state is None:
        raise ProjectDropped(run.path)
    return state
