-- Three roles of the ledger's database, for whoever administers it. Safe to repeat:
--     psql -d ledger -f roles.sql                 (the schema public)
--     psql -d ledger -v schema=flow -f roles.sql
-- Passwords are set apart (\password ledger_writer), or not at all where the database knows its
-- users by certificate or by an identity of the cloud.
--   ledger_owner   makes and changes tables: `flow-pipelines ledger upgrade`, nothing else
--   ledger_writer  everything that runs: daemon's sensors, runs, the receiver, commands
--   ledger_reader  looks: `flow-pipelines runs`, costs, dashboards
\set ON_ERROR_STOP on
\if :{?schema} \else \set schema public \endif

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['ledger_owner', 'ledger_writer', 'ledger_reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

CREATE SCHEMA IF NOT EXISTS :"schema";
REVOKE CREATE ON SCHEMA :"schema" FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA :"schema" TO ledger_owner;
GRANT USAGE ON SCHEMA :"schema" TO ledger_writer, ledger_reader;

-- Tables that are there, and those of every later upgrade.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"schema" TO ledger_writer;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA :"schema" TO ledger_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO ledger_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA :"schema"
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ledger_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA :"schema"
  GRANT USAGE, SELECT ON SEQUENCES TO ledger_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA :"schema"
  GRANT SELECT ON TABLES TO ledger_reader;
