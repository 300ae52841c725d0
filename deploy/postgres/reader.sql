-- A role that reads rfsync's tables and views and writes nothing: for Grafana, notebooks and SQL by hand. Of people it
-- reads what the views show, the address or the number, and who was forgotten. It does not read how those would be known
-- again: with the digests and their key it could be tried out whether an address is among them. Nor does it read the
-- digests of API keys.
--
-- To be run in rfsync's own database, once its tables are there, by a superuser, or by the owner of the tables if that
-- one may make roles. The tables may be in any schema. Running it again does no harm, and is what to do once an upgrade
-- was made by another role than the one before. It sets no password: \password rfsync_reader does, and shows it to no log.

DO $$
DECLARE
  -- The schemas that have rfsync's tables, those on the search path first.
  schemas name[] := ARRAY(
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('batch_changes', 'rfsync_version') AND c.relkind = 'r'
    GROUP BY n.nspname HAVING count(*) = 2
    ORDER BY array_position(current_schemas(false), n.nspname), n.nspname);
  place name := schemas[1];
  tables_owner name;
BEGIN
  IF place IS NULL THEN
    RAISE EXCEPTION 'the database % has no tables of rfsync yet: rfsync db upgrade makes them', current_database();
  END IF;
  IF cardinality(schemas) > 1 AND NOT place = ANY (current_schemas(false)) THEN
    RAISE EXCEPTION 'several schemas have tables of rfsync (%): name one, PGOPTIONS=-csearch_path=%',
      array_to_string(schemas, ', '), place;
  END IF;
  SELECT pg_get_userbyid(c.relowner) INTO tables_owner
    FROM pg_class c WHERE c.oid = format('%I.projects', place)::regclass;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rfsync_reader') THEN
    CREATE ROLE rfsync_reader LOGIN;
    -- It has no right to write. This says so before a statement is tried, and covers PostgreSQL 13 and 14, where
    -- everybody may make tables in the schema public.
    ALTER ROLE rfsync_reader SET default_transaction_read_only = on;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO rfsync_reader', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO rfsync_reader', place);
  IF place <> 'public' THEN
    -- So that SQL by hand finds the tables. rfsync itself finds them anywhere.
    EXECUTE format('ALTER ROLE rfsync_reader IN DATABASE %I SET search_path = %I, public', current_database(), place);
  END IF;
  -- Views are among the tables. None of them holds an API key or a password.
  EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO rfsync_reader', place);
  EXECUTE format('REVOKE ALL ON %I.people, %I.people_key, %I.rate_limits FROM rfsync_reader', place, place, place);
  EXECUTE format('GRANT SELECT (id, address, forgotten_at) ON %I.people TO rfsync_reader', place);
  EXECUTE format('GRANT SELECT (id, mode) ON %I.people_key TO rfsync_reader', place);
  -- What later versions add, too.
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO rfsync_reader',
                 tables_owner, place);
END
$$;
