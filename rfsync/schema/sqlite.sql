-- Written from models.py, views.py and triggers.py by `make schema`; change those.
CREATE TABLE projects (
	id INTEGER NOT NULL,
	workspace TEXT NOT NULL,
	project TEXT NOT NULL,
	name TEXT,
	batches BIGINT DEFAULT '0' NOT NULL,
	images BIGINT DEFAULT '0' NOT NULL,
	num_jobs BIGINT DEFAULT '0' NOT NULL,
	observed_at DATETIME,
	written_at DATETIME,
	etag TEXT,
	fingerprint TEXT,
	listed BIGINT,
	missing_digest TEXT,
	missing_streak INTEGER DEFAULT '0' NOT NULL,
	sent_us BIGINT,
	CONSTRAINT pk_projects PRIMARY KEY (id),
	CONSTRAINT uq_projects_workspace_project UNIQUE (workspace, project),
	CONSTRAINT ck_projects_batches CHECK (batches >= 0),
	CONSTRAINT ck_projects_batches_whole CHECK (typeof(batches) = 'integer'),
	CONSTRAINT ck_projects_images CHECK (images >= 0),
	CONSTRAINT ck_projects_images_whole CHECK (typeof(images) = 'integer'),
	CONSTRAINT ck_projects_num_jobs CHECK (num_jobs >= 0),
	CONSTRAINT ck_projects_num_jobs_whole CHECK (typeof(num_jobs) = 'integer'),
	CONSTRAINT ck_projects_missing_streak CHECK (missing_streak >= 0),
	CONSTRAINT ck_projects_written_at CHECK (observed_at IS NULL OR written_at >= observed_at)
);
CREATE TABLE workspace_daily (
	workspace TEXT NOT NULL,
	day DATE NOT NULL,
	changes BIGINT NOT NULL,
	batches_added BIGINT NOT NULL,
	batches_removed BIGINT NOT NULL,
	images_gained BIGINT NOT NULL,
	images_lost BIGINT NOT NULL,
	jobs_gained BIGINT NOT NULL,
	jobs_lost BIGINT NOT NULL,
	CONSTRAINT pk_workspace_daily PRIMARY KEY (workspace, day)
)
 WITHOUT ROWID;
CREATE TABLE batches (
	project_id BIGINT NOT NULL,
	batch_id TEXT NOT NULL,
	name TEXT,
	uploaded_at DATETIME,
	images BIGINT NOT NULL,
	num_jobs BIGINT NOT NULL,
	first_seen_at DATETIME NOT NULL,
	changed_at DATETIME NOT NULL,
	removed_at DATETIME,
	CONSTRAINT pk_batches PRIMARY KEY (project_id, batch_id),
	CONSTRAINT fk_batches_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id),
	CONSTRAINT ck_batches_images CHECK (images >= 0 AND images <= 9007199254740991),
	CONSTRAINT ck_batches_images_whole CHECK (typeof(images) = 'integer'),
	CONSTRAINT ck_batches_num_jobs CHECK (num_jobs >= 0 AND num_jobs <= 9007199254740991),
	CONSTRAINT ck_batches_num_jobs_whole CHECK (typeof(num_jobs) = 'integer'),
	CONSTRAINT ck_batches_batch_id CHECK (batch_id <> ''),
	CONSTRAINT ck_batches_changed_at CHECK (changed_at >= first_seen_at),
	CONSTRAINT ck_batches_removed_at CHECK (removed_at IS NULL OR removed_at = changed_at)
)
 WITHOUT ROWID;
CREATE INDEX ix_batches_removed ON batches (project_id, batch_id) WHERE removed_at IS NOT NULL;
CREATE TABLE project_daily (
	project_id BIGINT NOT NULL,
	day DATE NOT NULL,
	changes BIGINT NOT NULL,
	batches_added BIGINT NOT NULL,
	batches_removed BIGINT NOT NULL,
	images_gained BIGINT NOT NULL,
	images_lost BIGINT NOT NULL,
	jobs_gained BIGINT NOT NULL,
	jobs_lost BIGINT NOT NULL,
	batches BIGINT NOT NULL,
	images BIGINT NOT NULL,
	num_jobs BIGINT NOT NULL,
	CONSTRAINT pk_project_daily PRIMARY KEY (project_id, day),
	CONSTRAINT ck_project_daily_changes CHECK (changes >= 0),
	CONSTRAINT ck_project_daily_changes_whole CHECK (typeof(changes) = 'integer'),
	CONSTRAINT ck_project_daily_batches_added CHECK (batches_added >= 0),
	CONSTRAINT ck_project_daily_batches_added_whole CHECK (typeof(batches_added) = 'integer'),
	CONSTRAINT ck_project_daily_batches_removed CHECK (batches_removed >= 0),
	CONSTRAINT ck_project_daily_batches_removed_whole CHECK (typeof(batches_removed) = 'integer'),
	CONSTRAINT ck_project_daily_images_gained CHECK (images_gained >= 0),
	CONSTRAINT ck_project_daily_images_gained_whole CHECK (typeof(images_gained) = 'integer'),
	CONSTRAINT ck_project_daily_images_lost CHECK (images_lost >= 0),
	CONSTRAINT ck_project_daily_images_lost_whole CHECK (typeof(images_lost) = 'integer'),
	CONSTRAINT ck_project_daily_jobs_gained CHECK (jobs_gained >= 0),
	CONSTRAINT ck_project_daily_jobs_gained_whole CHECK (typeof(jobs_gained) = 'integer'),
	CONSTRAINT ck_project_daily_jobs_lost CHECK (jobs_lost >= 0),
	CONSTRAINT ck_project_daily_jobs_lost_whole CHECK (typeof(jobs_lost) = 'integer'),
	CONSTRAINT ck_project_daily_batches CHECK (batches >= 0),
	CONSTRAINT ck_project_daily_batches_whole CHECK (typeof(batches) = 'integer'),
	CONSTRAINT ck_project_daily_images CHECK (images >= 0),
	CONSTRAINT ck_project_daily_images_whole CHECK (typeof(images) = 'integer'),
	CONSTRAINT ck_project_daily_num_jobs CHECK (num_jobs >= 0),
	CONSTRAINT ck_project_daily_num_jobs_whole CHECK (typeof(num_jobs) = 'integer'),
	CONSTRAINT fk_project_daily_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
);
CREATE TABLE project_observed (
	project_id BIGINT NOT NULL,
	day DATE NOT NULL,
	am BIGINT NOT NULL,
	pm BIGINT NOT NULL,
	CONSTRAINT pk_project_observed PRIMARY KEY (project_id, day),
	CONSTRAINT fk_project_observed_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
)
 WITHOUT ROWID;
CREATE TABLE sync_runs (
	id INTEGER NOT NULL,
	project_id BIGINT NOT NULL,
	"trigger" TEXT NOT NULL,
	started_at DATETIME NOT NULL,
	finished_at DATETIME,
	outcome TEXT NOT NULL,
	attempts INTEGER DEFAULT '0' NOT NULL,
	http_status INTEGER,
	response_bytes BIGINT,
	batches BIGINT,
	added BIGINT DEFAULT '0' NOT NULL,
	changed BIGINT DEFAULT '0' NOT NULL,
	removed BIGINT DEFAULT '0' NOT NULL,
	restored BIGINT DEFAULT '0' NOT NULL,
	rejected BIGINT DEFAULT '0' NOT NULL,
	images_delta BIGINT DEFAULT '0' NOT NULL,
	num_jobs_delta BIGINT DEFAULT '0' NOT NULL,
	error_kind TEXT,
	error TEXT,
	CONSTRAINT pk_sync_runs PRIMARY KEY (id),
	CONSTRAINT ck_sync_runs_trigger CHECK ("trigger" IN ('cli', 'schedule', 'worker')),
	CONSTRAINT ck_sync_runs_outcome CHECK ("outcome" IN ('running', 'changed', 'unchanged', 'superseded', 'refused', 'failed', 'abandoned')),
	CONSTRAINT ck_sync_runs_error_kind CHECK ("error_kind" IN ('auth', 'not_found', 'rate_limited', 'request', 'server', 'network', 'timeout', 'bad_response', 'database')),
	CONSTRAINT ck_sync_runs_finished_at CHECK ((outcome = 'running') = (finished_at IS NULL)),
	CONSTRAINT ck_sync_runs_failed CHECK ((outcome = 'failed') = (error_kind IS NOT NULL)),
	CONSTRAINT ck_sync_runs_added CHECK (added >= 0),
	CONSTRAINT ck_sync_runs_added_whole CHECK (typeof(added) = 'integer'),
	CONSTRAINT ck_sync_runs_changed CHECK (changed >= 0),
	CONSTRAINT ck_sync_runs_changed_whole CHECK (typeof(changed) = 'integer'),
	CONSTRAINT ck_sync_runs_removed CHECK (removed >= 0),
	CONSTRAINT ck_sync_runs_removed_whole CHECK (typeof(removed) = 'integer'),
	CONSTRAINT ck_sync_runs_restored CHECK (restored >= 0),
	CONSTRAINT ck_sync_runs_restored_whole CHECK (typeof(restored) = 'integer'),
	CONSTRAINT ck_sync_runs_rejected CHECK (rejected >= 0),
	CONSTRAINT ck_sync_runs_rejected_whole CHECK (typeof(rejected) = 'integer'),
	CONSTRAINT fk_sync_runs_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id)
);
CREATE INDEX ix_sync_runs_bad ON sync_runs (project_id, id) WHERE outcome IN ('failed', 'refused', 'abandoned');
CREATE INDEX ix_sync_runs_project_id_id ON sync_runs (project_id, id);
CREATE INDEX ix_sync_runs_running ON sync_runs (id) WHERE outcome = 'running';
CREATE INDEX ix_sync_runs_unchanged ON sync_runs (project_id, started_at) WHERE outcome = 'unchanged';
CREATE TABLE batch_changes (
	id INTEGER NOT NULL,
	run_id BIGINT NOT NULL,
	project_id BIGINT NOT NULL,
	batch_id TEXT NOT NULL,
	observed_after DATETIME,
	observed_at DATETIME NOT NULL,
	change TEXT NOT NULL,
	images BIGINT NOT NULL,
	num_jobs BIGINT NOT NULL,
	images_delta BIGINT NOT NULL,
	num_jobs_delta BIGINT NOT NULL,
	name TEXT,
	CONSTRAINT pk_batch_changes PRIMARY KEY (id),
	CONSTRAINT uq_batch_changes_project_id_batch_id_observed_at UNIQUE (project_id, batch_id, observed_at),
	CONSTRAINT fk_batch_changes_run_id_sync_runs FOREIGN KEY(run_id) REFERENCES sync_runs (id),
	CONSTRAINT fk_batch_changes_project_id_batch_id_batches FOREIGN KEY(project_id, batch_id) REFERENCES batches (project_id, batch_id),
	CONSTRAINT ck_batch_changes_change CHECK ("change" IN ('added', 'changed', 'removed', 'restored')),
	CONSTRAINT ck_batch_changes_images CHECK (images >= 0 AND images <= 9007199254740991),
	CONSTRAINT ck_batch_changes_images_whole CHECK (typeof(images) = 'integer'),
	CONSTRAINT ck_batch_changes_num_jobs CHECK (num_jobs >= 0 AND num_jobs <= 9007199254740991),
	CONSTRAINT ck_batch_changes_num_jobs_whole CHECK (typeof(num_jobs) = 'integer'),
	CONSTRAINT ck_batch_changes_before CHECK (images >= images_delta AND num_jobs >= num_jobs_delta),
	CONSTRAINT ck_batch_changes_removed CHECK (change <> 'removed' OR (images = 0 AND num_jobs = 0)),
	CONSTRAINT ck_batch_changes_appeared CHECK (change NOT IN ('added', 'restored') OR (images = images_delta AND num_jobs = num_jobs_delta)),
	CONSTRAINT ck_batch_changes_observed_after CHECK (observed_after < observed_at)
);
CREATE INDEX ix_batch_changes_project_id_observed_at ON batch_changes (project_id, observed_at);
CREATE INDEX ix_batch_changes_run_id ON batch_changes (run_id);
CREATE VIEW current_batches AS
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs,
       b.first_seen_at, b.changed_at
FROM batches b JOIN projects p ON p.id = b.project_id
WHERE b.removed_at IS NULL;
CREATE VIEW batch_history AS
SELECT p.workspace, p.project, c.batch_id, c.observed_at AS valid_from,
       (SELECT min(n.observed_at) FROM batch_changes n
        WHERE n.project_id = c.project_id AND n.batch_id = c.batch_id AND n.observed_at > c.observed_at) AS valid_to,
       c.name, c.images, c.num_jobs, c.change
FROM batch_changes c JOIN projects p ON p.id = c.project_id
WHERE c.change <> 'removed';
CREATE VIEW change_log AS
SELECT p.workspace, p.project, c.id, c.run_id, c.project_id, c.batch_id, c.observed_after, c.observed_at,
       c.change, c.images, c.num_jobs, c.images_delta, c.num_jobs_delta, c.name
FROM batch_changes c JOIN projects p ON p.id = c.project_id;
CREATE VIEW project_totals_daily AS
SELECT p.workspace, p.project, d.project_id, d.day, d.changes, d.batches_added, d.batches_removed,
       d.images_gained, d.images_lost, d.jobs_gained, d.jobs_lost, d.batches, d.images, d.num_jobs
FROM project_daily d JOIN projects p ON p.id = d.project_id;
CREATE VIEW sync_health AS
SELECT p.workspace, p.project, last.started_at AS last_run_at, last.outcome AS last_outcome,
       success.started_at AS last_success_at,
       (SELECT count(*) FROM sync_runs r WHERE r.project_id = p.id AND r.id > coalesce(success.id, 0)
        AND r.outcome IN ('failed', 'refused', 'abandoned')) AS consecutive_failures,
       bad.error_kind AS last_error_kind, bad.error AS last_error
FROM projects p
LEFT JOIN sync_runs last ON last.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome <> 'running')
LEFT JOIN sync_runs success ON success.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome IN ('changed', 'unchanged', 'superseded'))
LEFT JOIN sync_runs bad ON bad.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.id > 0 AND r.outcome IN ('failed', 'refused', 'abandoned'));
CREATE TRIGGER workspace_daily_insert AFTER INSERT ON project_daily BEGIN INSERT INTO workspace_daily (workspace, day, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost) SELECT p.workspace, NEW.day, NEW.changes, NEW.batches_added, NEW.batches_removed, NEW.images_gained, NEW.images_lost, NEW.jobs_gained, NEW.jobs_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET changes = workspace_daily.changes + excluded.changes, batches_added = workspace_daily.batches_added + excluded.batches_added, batches_removed = workspace_daily.batches_removed + excluded.batches_removed, images_gained = workspace_daily.images_gained + excluded.images_gained, images_lost = workspace_daily.images_lost + excluded.images_lost, jobs_gained = workspace_daily.jobs_gained + excluded.jobs_gained, jobs_lost = workspace_daily.jobs_lost + excluded.jobs_lost; END;
CREATE TRIGGER workspace_daily_update AFTER UPDATE ON project_daily BEGIN INSERT INTO workspace_daily (workspace, day, changes, batches_added, batches_removed, images_gained, images_lost, jobs_gained, jobs_lost) SELECT p.workspace, NEW.day, NEW.changes, NEW.batches_added, NEW.batches_removed, NEW.images_gained, NEW.images_lost, NEW.jobs_gained, NEW.jobs_lost FROM projects p WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET changes = workspace_daily.changes + excluded.changes, batches_added = workspace_daily.batches_added + excluded.batches_added, batches_removed = workspace_daily.batches_removed + excluded.batches_removed, images_gained = workspace_daily.images_gained + excluded.images_gained, images_lost = workspace_daily.images_lost + excluded.images_lost, jobs_gained = workspace_daily.jobs_gained + excluded.jobs_gained, jobs_lost = workspace_daily.jobs_lost + excluded.jobs_lost; UPDATE workspace_daily SET changes = changes - OLD.changes, batches_added = batches_added - OLD.batches_added, batches_removed = batches_removed - OLD.batches_removed, images_gained = images_gained - OLD.images_gained, images_lost = images_lost - OLD.images_lost, jobs_gained = jobs_gained - OLD.jobs_gained, jobs_lost = jobs_lost - OLD.jobs_lost WHERE day = OLD.day AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END;
CREATE TRIGGER workspace_daily_delete AFTER DELETE ON project_daily BEGIN UPDATE workspace_daily SET changes = changes - OLD.changes, batches_added = batches_added - OLD.batches_added, batches_removed = batches_removed - OLD.batches_removed, images_gained = images_gained - OLD.images_gained, images_lost = images_lost - OLD.images_lost, jobs_gained = jobs_gained - OLD.jobs_gained, jobs_lost = jobs_lost - OLD.jobs_lost WHERE day = OLD.day AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id); END;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version (version_num) VALUES ('0003');
