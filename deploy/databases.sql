-- For compose.yaml, once, after roles.sql: the passwords, and Dagster's own database beside the ledger's.
\set ON_ERROR_STOP on
\getenv owner_password LEDGER_OWNER_PASSWORD
\getenv writer_password LEDGER_WRITER_PASSWORD
\getenv reader_password LEDGER_READER_PASSWORD
\getenv dagster_password DAGSTER_POSTGRES_PASSWORD
ALTER ROLE ledger_owner PASSWORD :'owner_password';
ALTER ROLE ledger_writer PASSWORD :'writer_password';
ALTER ROLE ledger_reader PASSWORD :'reader_password';
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE DATABASE dagster OWNER dagster;
