"""What makes the database itself refuse submissions of a closed night, whatever version plans them.

A migration made it so: what stands here stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SQLITE = """CREATE TRIGGER no_submission_of_a_closed_night BEFORE INSERT ON submissions
    WHEN EXISTS (
        SELECT 1 FROM nights WHERE batch = NEW.batch AND partition_key = NEW.partition_key
        AND closed_at IS NOT NULL
    )
    BEGIN SELECT RAISE(ABORT, 'this night is closed and archived'); END"""

POSTGRES_FUNCTION = """CREATE OR REPLACE FUNCTION no_submission_of_a_closed_night() RETURNS trigger
    LANGUAGE plpgsql AS $$
    DECLARE closed boolean;
    BEGIN
        EXECUTE format(
            'SELECT EXISTS (SELECT 1 FROM (SELECT DISTINCT batch, partition_key FROM added) a '
            'JOIN %I.nights n ON n.batch = a.batch AND n.partition_key = a.partition_key '
            'WHERE n.closed_at IS NOT NULL)', TG_TABLE_SCHEMA
        ) INTO closed;
        IF closed THEN
            RAISE EXCEPTION 'this night is closed and archived' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$"""
"""A dump of the ledger's tables has the trigger, and not this: it has to be there before them."""
# For each statement, not for each row: 10,000 rows are planned at once.
_POSTGRES_TRIGGER = """CREATE TRIGGER no_submission_of_a_closed_night AFTER INSERT ON submissions
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION no_submission_of_a_closed_night()"""

REFUSE_ROWS: Mapping[str, Sequence[str]] = {
    "sqlite": (_SQLITE,),
    "postgresql": (POSTGRES_FUNCTION, _POSTGRES_TRIGGER),
}
"""Statements by dialect."""
