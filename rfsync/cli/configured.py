"""The projects that ``rfsync status`` is about: those of the database, and those that the configuration names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from rfsync.database.errors import translated
from rfsync.errors import ConfigError
from rfsync.history import ProjectStatus, status
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.renames import find_renames
from rfsync.parsing import Target
from rfsync.schema.models import Project
from rfsync.text import close_names, did_you_mean

if TYPE_CHECKING:
    from rfsync.config import Config, WorkspaceConfig


@dataclass(slots=True)
class Overview:
    """What there is to show."""

    #: By workspace and project.
    rows: dict[ProjectPath, ProjectStatus] = field(default_factory=dict)
    #: Those of ``rows`` that have to be fresh.
    expected: set[ProjectPath] = field(default_factory=set)
    #: Workspaces whose projects have to be fresh, and of which none was ever observed.
    unobserved: list[str] = field(default_factory=list)
    #: Targets that have another id now: as named, and as they are called.
    renamed: list[tuple[Target, Target]] = field(default_factory=list)
    #: Targets that have departed.
    departed: list[ProjectPath] = field(default_factory=list)

    def expect(self, rows: Iterable[ProjectStatus]) -> None:
        """Adds projects that have to be fresh."""
        for row in rows:
            path = ProjectPath(row.workspace, row.project)
            self.rows[path] = row
            self.expected.add(path)


def look(engine: Engine, config: Config, targets: Sequence[Target]) -> Overview:
    """Reads the state of the targets, or of all projects that there are, configured or stored.

    Raises:
        ConfigError: a target is neither in the database nor configured.
        DatabaseError: the database can't be read.
    """
    workspaces = {table.id for table in config.workspaces} | {target.workspace for target in targets}
    known = _Known(engine, config, workspaces)
    overview = Overview()
    for target in targets:
        known.add_target(overview, target, next((t for t in config.workspaces if t.id == target.workspace), None))
    if targets:
        return overview
    for table in config.workspaces:
        known.add_configured(overview, table)
    if not config.workspaces:
        overview.expect(known.rows.values())
    overview.rows = known.rows | overview.rows
    return overview


class _Known:
    """What the database has, and what is named in the configuration.

    Attributes:
        rows: the projects that have not departed.
    """

    def __init__(self, engine: Engine, config: Config, workspaces: Iterable[str]) -> None:
        """Reads it; of ids that projects had before those in ``workspaces``."""
        self._named = [
            ProjectPath(table.id, project)
            for table in config.workspaces
            for project in table.projects
            if project != "*"
        ]
        with translated("reading the projects"), engine.connect() as connection, connection.begin():
            query = select(Project.workspace, Project.project, Project.written_at)
            self._observed = {ProjectPath(w, p): at is not None for w, p, at in connection.execute(query)}
            self._renames = {workspace: find_renames(connection, workspace) for workspace in workspaces}
        self.rows = {ProjectPath(row.workspace, row.project): row for row in status(engine)}
        # Those of a moment later.
        self._observed |= {path: row.observed_at is not None for path, row in self.rows.items()}

    def add_target(self, overview: Overview, target: Target, table: WorkspaceConfig | None) -> None:
        """Adds what a target means.

        Raises:
            ConfigError: nothing.
        """
        if target.project is not None:
            self._add_project(overview, Target(target.workspace, target.project), table)
            return
        paths = self._of_workspace(target.workspace)
        if not paths and table is None:
            raise self._unknown(target)
        if paths and paths[0].workspace != target.workspace:
            overview.renamed.append((target, Target(paths[0].workspace, None)))
        stored = {path: self.rows[path] for path in paths if path in self.rows}
        if table is None:
            overview.expect(stored.values())
        else:
            # One that was taken out of the configuration is shown, and need not be fresh.
            overview.rows |= stored
            self.add_configured(overview, table)

    def add_configured(self, overview: Overview, table: WorkspaceConfig) -> None:
        """Adds what a table of the configuration names."""
        if not table.discovers:
            named = (project for project in table.projects if not table.excludes(project))
            overview.expect(row for project in named if (row := self._row(table.id, project)) is not None)
            return
        paths = [path for path in self._of_workspace(table.id) if not table.excludes(path.project)]
        overview.expect(self.rows[path] for path in paths if path in self.rows)
        if not any(self._observed[path] for path in paths) and not any(path in self.rows for path in paths):
            overview.unobserved.append(table.id)

    def _add_project(self, overview: Overview, target: Target, table: WorkspaceConfig | None) -> None:
        assert target.project is not None  # noqa: S101 the caller has looked
        path = self._find(target.workspace, target.project)
        if path is None and (table is None or target.project not in table.projects):
            raise self._unknown(target)
        row = self._row(target.workspace, target.project)
        if path is not None and path != (target.workspace, target.project):
            overview.renamed.append((target, Target(*path)))
        if row is not None:
            overview.expect([row])
        elif path is not None:
            overview.departed.append(path)

    def _unknown(self, target: Target) -> ConfigError:
        names = {str(path) if target.project else path.workspace for path in (*self._observed, *self._named)}
        meant = did_you_mean(close_names(str(target), names))
        return ConfigError(f"{target} is neither in the database nor configured: rfsync status shows what is{meant}")

    def _row(self, workspace: str, project: str) -> ProjectStatus | None:
        """The state of a project that is expected to be there; None: it has departed."""
        path = self._find(workspace, project)
        return _never_observed(workspace, project) if path is None else self.rows.get(path)

    def _find(self, workspace: str, project: str) -> ProjectPath | None:
        """The id that a project has now; None: the database has none of this id."""
        path = ProjectPath(workspace, project)
        if not self._observed.get(path):
            path = self._renames[workspace].get(project, path)
        return path if path in self._observed else None

    def _of_workspace(self, workspace: str) -> list[ProjectPath]:
        found = [path for path in self._observed if path.workspace == workspace]
        return sorted(found or set(self._renames[workspace].values()))


def _never_observed(workspace: str, project: str) -> ProjectStatus:
    return ProjectStatus(
        workspace, project, batches=None, images=None, num_jobs=None, observed_at=None, last_run_at=None,
        last_outcome=None, last_success_at=None, consecutive_failures=0, last_error_kind=None, last_error=None,
        jobs=None, images_in_jobs=None, annotated=None, jobs_observed_at=None, jobs_error_kind=None,
    )  # fmt: skip
