"""The fence on PostgreSQL: what a worker's role may not change, whatever it is made to say.

A row that has ended never changes again, and of what the users want a worker writes nothing but that a stopping rule
cancels what runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

# The owner of the tables, who deletes studies, is let through; so is the transaction that ends a trial itself, which
# writes the value after the state: its own changes carry its transaction's id.
_FUNCTIONS = {
    "tuner_fence_trial": """
    RETURNS trigger LANGUAGE plpgsql {path} AS $$
    BEGIN
        IF OLD.state::text IN ('COMPLETE', 'PRUNED', 'FAIL') AND NOT tuner_owns_trials() THEN
            RAISE EXCEPTION 'trial % has ended and cannot be changed', OLD.number;
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    "tuner_fence_part": """
    RETURNS trigger LANGUAGE plpgsql {path} AS $$
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
    "tuner_owns_trials": """
    RETURNS boolean LANGUAGE sql STABLE {path} AS $$
        SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'trials'::regclass
    $$
    """,
    "tuner_fence_attempt": """
    RETURNS trigger LANGUAGE plpgsql {path} AS $$
    BEGIN
        IF OLD.ended_at IS NOT NULL AND NOT tuner_owns_trials() THEN
            RAISE EXCEPTION 'trial with id % has ended and cannot be changed', OLD.trial_id;
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    # Who may enlarge a budget may steer a study.
    "tuner_fence_control": """
    RETURNS trigger LANGUAGE plpgsql {path} AS $$
    BEGIN
        IF NEW.control NOT IN (OLD.control, 'cancel') AND NOT has_column_privilege(TG_RELID, 'budget', 'UPDATE') THEN
            RAISE EXCEPTION 'study % can be cancelled by this role, and nothing else', OLD.name;
        END IF;
        RETURN NEW;
    END $$
    """,
}
_CHANGES = "UPDATE OR DELETE"
#: By table, what its trigger looks at and calls.
_TRIGGERS = {
    "trials": (_CHANGES, "tuner_fence_trial"),
    "tuner_attempts": (_CHANGES, "tuner_fence_attempt"),
    "tuner_studies": ("UPDATE OF control", "tuner_fence_control"),
    **dict.fromkeys(
        (
            "trial_values",
            "trial_params",
            "trial_intermediate_values",
            "trial_user_attributes",
            "trial_system_attributes",
        ),
        (f"INSERT OR {_CHANGES}", "tuner_fence_part"),
    ),
}


def fence_sql(schema: str) -> Iterator[str]:
    """Return the statements that make the fence around the tables in a schema; saying them again is safe."""
    # Unless it is named, PostgreSQL looks first among the temporary tables, which anybody can make.
    path = f"SET search_path = pg_catalog, {schema}, pg_temp"
    for name, rest in _FUNCTIONS.items():
        yield f"CREATE OR REPLACE FUNCTION {schema}.{name}() {rest.format(path=path).strip()}"
    for table, (changes, function) in _TRIGGERS.items():
        # Before PostgreSQL 14 there is no OR REPLACE for triggers.
        yield (
            f"DO $$ BEGIN CREATE TRIGGER tuner_fence BEFORE {changes} ON {schema}.{table} FOR EACH ROW "
            f"EXECUTE FUNCTION {schema}.{function}(); EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )


def fence_owned_by(role: str, schema: str) -> Iterator[str]:
    """Return the statements that give the fence to a role, who can mend it then."""
    for name in _FUNCTIONS:
        yield f"ALTER FUNCTION {schema}.{name}() OWNER TO {role}"


def raise_fence(connection: Connection) -> None:
    """Make the fence where it is not there, or was made by an older version and is this user's to mend."""
    # The trigger of tuner_studies is the youngest part.
    missing = text(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'trials'::regclass "
        "AND pg_has_role(relowner, 'USAGE') "
        "AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'tuner_fence' AND tgrelid = 'tuner_studies'::regclass)"
        "AND NOT EXISTS (SELECT 1 FROM pg_proc WHERE pronamespace = relnamespace AND proname = ANY(:functions) "
        "AND NOT pg_has_role(proowner, 'USAGE'))"
    )
    schema = connection.execute(missing, {"functions": list(_FUNCTIONS)}).scalar_one_or_none()
    if schema is not None:
        for statement in fence_sql(schema):
            connection.execute(text(statement))
