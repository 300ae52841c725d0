-- A role that syncs, and can't change the schema: for the daemon and cron. Upgrades need the owner of the tables.
--
-- To be run in rfsync's own database, once its tables are there, by a superuser, or by the owner of the tables if that
-- one may make roles. The tables may be in any schema. Running it again does no harm, and is what to do once an upgrade
-- was made by another role than the one before. It sets no password: \password rfsync_writer does, and shows it to no log.

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
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rfsync_writer') THEN
    CREATE ROLE rfsync_writer LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO rfsync_writer', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO rfsync_writer', place);
  IF place <> 'public' THEN
    -- So that SQL by hand finds the tables. rfsync itself finds them anywhere.
    EXECUTE format('ALTER ROLE rfsync_writer IN DATABASE %I SET search_path = %I, public', current_database(), place);
  END IF;
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO rfsync_writer', place);
  EXECUTE format('GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA %I TO rfsync_writer', place);
  -- Only an upgrade says which schema it is.
  EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.rfsync_version FROM rfsync_writer', place);
  -- So that rfsync forget can leave no dead rows; before version 17, only the owner may do that.
  IF current_setting('server_version_num')::int >= 170000 THEN
    EXECUTE format('GRANT MAINTAIN ON %I.people TO rfsync_writer', place);
  END IF;
  -- What later versions add, too.
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I '
                 'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rfsync_writer', tables_owner, place);
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT, USAGE ON SEQUENCES TO rfsync_writer',
                 tables_owner, place);
END
$$;
