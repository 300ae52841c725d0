-- A role that reads all of rfsync's tables and views and writes nothing: for Grafana, notebooks and SQL by hand.
--
-- To be run in rfsync's own database, once its tables are there, by a superuser, or by the owner of the tables if that
-- one may make roles. Running it again does no harm. It sets no password: \password rfsync_reader does, and shows it
-- to no log.

DO $$
DECLARE
  tables_owner name := (SELECT tableowner FROM pg_tables WHERE schemaname = 'public' AND tablename = 'projects');
BEGIN
  IF tables_owner IS NULL THEN
    RAISE EXCEPTION 'the database % has no tables of rfsync yet: rfsync db upgrade makes them', current_database();
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rfsync_reader') THEN
    CREATE ROLE rfsync_reader LOGIN;
    -- It has no right to write. This says so before a statement is tried, and covers PostgreSQL 13 and 14, where
    -- everybody may make tables in the schema public.
    ALTER ROLE rfsync_reader SET default_transaction_read_only = on;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO rfsync_reader', current_database());
  -- What later versions add, too.
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT ON TABLES TO rfsync_reader',
                 tables_owner);
END
$$;

GRANT USAGE ON SCHEMA public TO rfsync_reader;
-- Views are among the tables. None of them holds a key or a password.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO rfsync_reader;
