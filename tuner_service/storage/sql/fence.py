"""The fence on PostgreSQL: a row that has ended never changes again, whatever a worker's role is made to say."""

from __future__ import annotations

from sqlalchemy import Connection, text

# The owner of the tables, who deletes studies, is let through; so is the transaction that ends a trial itself, which
# writes the value after the state: its own changes carry its transaction's id.
_FENCE = (
    """
    CREATE OR REPLACE FUNCTION tuner_fence_trial() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.state::text IN ('COMPLETE', 'PRUNED', 'FAIL') AND NOT tuner_owns_trials() THEN
            RAISE EXCEPTION 'trial % has ended and cannot be changed', OLD.number;
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION tuner_fence_part() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        part_of integer := CASE WHEN TG_OP = 'DELETE' THEN OLD.trial_id ELSE NEW.trial_id END;
    BEGIN
        IF NOT tuner_owns_trials() AND EXISTS (
            SELECT 1 FROM trials
            WHERE trial_id = part_of AND state::text IN ('COMPLETE', 'PRUNED', 'FAIL')
            AND xmin <> pg_current_xact_id()::xid
        ) THEN
            RAISE EXCEPTION 'trial with id % has ended and cannot be changed', part_of;
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION tuner_owns_trials() RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'trials'::regclass
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION tuner_fence_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.ended_at IS NOT NULL AND NOT tuner_owns_trials() THEN
            RAISE EXCEPTION 'trial with id % has ended and cannot be changed', OLD.trial_id;
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    "CREATE TRIGGER tuner_fence BEFORE UPDATE OR DELETE ON trials FOR EACH ROW EXECUTE FUNCTION tuner_fence_trial()",
    "CREATE TRIGGER tuner_fence BEFORE UPDATE OR DELETE ON tuner_attempts FOR EACH ROW "
    "EXECUTE FUNCTION tuner_fence_attempt()",
)
_PARTS = (
    "trial_values",
    "trial_params",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
)


def raise_fence(connection: Connection) -> None:
    """Make the triggers where they are not there."""
    there = text("SELECT 1 FROM pg_trigger WHERE tgname = 'tuner_fence' AND tgrelid = 'trials'::regclass")
    if connection.execute(there).first() is not None:
        return
    for statement in _FENCE:
        connection.execute(text(statement))
    for table in _PARTS:
        connection.execute(
            text(
                f"CREATE TRIGGER tuner_fence BEFORE INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION tuner_fence_part()"
            )
        )
