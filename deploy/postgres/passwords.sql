-- For compose.yaml: the roles' passwords are those in the secrets' files. psql reads them itself, and no log shows them.
\set writer_password `cat /run/secrets/writer_password`
\set reader_password `cat /run/secrets/reader_password`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
ALTER ROLE rfsync_writer PASSWORD :'writer_password';
ALTER ROLE rfsync_reader PASSWORD :'reader_password';
