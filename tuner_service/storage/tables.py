"""The tables: Optuna's, as far as this service reads and writes them itself, and its own, prefixed ``tuner_``.

Optuna's are described here once more because a claim, an insertion and a settlement must touch a row of Optuna's and
one of ours in a single transaction, which Optuna's public interface cannot do, and because reading a study through
Optuna takes seconds. ``tests/contracts/test_optuna_tables.py`` fails when Optuna's own description differs.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

#: Version of the ``tuner_`` tables; raised by every change to them, with a step in ``sql/migration.py``.
SCHEMA_VERSION = 4
#: Version of Optuna's tables, as the Optuna that is pinned makes them.
OPTUNA_REVISION = "v3.2.0.a"

optuna_metadata = MetaData()
metadata = MetaData()

studies = Table(
    "studies",
    optuna_metadata,
    Column("study_id", Integer, primary_key=True),
    Column("study_name", String(512), nullable=False),
)
study_directions = Table(
    "study_directions",
    optuna_metadata,
    Column("study_direction_id", Integer, primary_key=True),
    Column("direction", Enum("NOT_SET", "MINIMIZE", "MAXIMIZE", name="studydirection"), nullable=False),
    Column("study_id", Integer, nullable=False),
    Column("objective", Integer, nullable=False),
)


def _attributes(name: str, owner: str) -> Table:
    """Return one of Optuna's four tables of attributes."""
    return Table(
        name,
        optuna_metadata,
        Column(f"{name.removesuffix('s')}_id", Integer, primary_key=True),
        Column(owner, Integer),
        Column("key", String(512)),
        Column("value_json", Text),
    )


study_user_attributes = _attributes("study_user_attributes", "study_id")
study_system_attributes = _attributes("study_system_attributes", "study_id")
trial_user_attributes = _attributes("trial_user_attributes", "trial_id")
trial_system_attributes = _attributes("trial_system_attributes", "trial_id")

trials = Table(
    "trials",
    optuna_metadata,
    Column("trial_id", Integer, primary_key=True),
    Column("number", Integer),
    Column("study_id", Integer),
    Column("state", Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate"), nullable=False),
    Column("datetime_start", DateTime),  # naive UTC
    Column("datetime_complete", DateTime),  # naive UTC
)
trial_params = Table(
    "trial_params",
    optuna_metadata,
    Column("param_id", Integer, primary_key=True),
    Column("trial_id", Integer),
    Column("param_name", String(512)),
    Column("param_value", Float(53)),
    Column("distribution_json", Text),
)
trial_values = Table(
    "trial_values",
    optuna_metadata,
    Column("trial_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, nullable=False),
    Column("objective", Integer, nullable=False),
    Column("value", Float(53)),
    Column("value_type", Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype"), nullable=False),
)
trial_intermediate_values = Table(
    "trial_intermediate_values",
    optuna_metadata,
    Column("trial_intermediate_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("intermediate_value", Float(53)),
    Column(
        "intermediate_value_type",
        Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype"),
        nullable=False,
    ),
)
trial_heartbeats = Table(
    "trial_heartbeats",
    optuna_metadata,
    Column("trial_heartbeat_id", Integer, primary_key=True),
    Column("trial_id", Integer, nullable=False),
)

#: Optuna's tables that hang on a trial, by its ``trial_id``.
OF_A_TRIAL = (
    trial_user_attributes,
    trial_system_attributes,
    trial_params,
    trial_values,
    trial_intermediate_values,
    trial_heartbeats,
)
#: Optuna's tables that hang on a study, by its ``study_id``, without its trials.
OF_A_STUDY = (study_directions, study_user_attributes, study_system_attributes)

# --- this service's own. Times are seconds since 1970 by the database's clock. ---

tuner_schema = Table("tuner_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

tuner_studies = Table(
    "tuner_studies",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False),
    Column("spec", Text, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("artifacts", Text, nullable=False),
    Column("probe", String(64), nullable=False),
    Column("space", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("points", Integer, nullable=False),
    Column("control", String(20), nullable=False),
    Column("ending", String(20)),
    Column("ending_message", Text, nullable=False, default=""),
    Column("created_at", Float(53), nullable=False),
    Column("resumed_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
    Column("judge_from", Float(53), nullable=False),
    Column("reconciled_at", Float(53), nullable=False),
    Column("ended_at", Float(53)),
)

tuner_attempts = Table(
    "tuner_attempts",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("configuration", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("forced", Boolean, nullable=False, default=False),
    Column("owner", String(200)),
    Column("lease_until", Float(53)),
    Column("claimed_at", Float(53)),
    Column("ended_at", Float(53)),
    Column("reason", String(20)),
    Column("epoch", Integer, nullable=False, default=0),
    Column("run", Integer, nullable=False, default=0),
    Column("resumed_from", Integer, nullable=False, default=0),
    Column("checkpoint", Integer, nullable=False, default=0),
    Column("last_value", Float(53)),
    Column("best_epoch", Integer),
    Column("error", Text),
    Column("failure", Text),
    Column("code", String(64)),
    Column("environment", Text),
    Column("draw", String(32)),
    # What makes the budget exact: nobody can insert an attempt twice.
    UniqueConstraint("study_id", "configuration", "attempt", name="tuner_attempts_once"),
    Index("tuner_attempts_owner", "owner"),
    Index("tuner_attempts_draw", "study_id", "draw"),
    # A claim looks for a row among these, however many have ended.
    Index(
        "tuner_attempts_open",
        "study_id",
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
)

tuner_points = Table(
    "tuner_points",
    metadata,
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), primary_key=True),
    Column("configuration", Integer, primary_key=True, autoincrement=False),
    Column("params", Text, nullable=False),
    Column("source", Text, nullable=False),
)

tuner_rungs = Table(
    "tuner_rungs",
    metadata,
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), primary_key=True),
    Column("bracket", Integer, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("configuration", Integer, primary_key=True),
    Column("value", Float(53), nullable=False),
)

tuner_scores = Table(
    "tuner_scores",
    metadata,
    Column("score_id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("trial", Integer, nullable=False),
    Column("model", String(20), nullable=False),
    Column("metrics", Text, nullable=False),
    Column("who", String(400), nullable=False),
    Column("at", Float(53), nullable=False),
)

tuner_notices = Table(
    "tuner_notices",
    metadata,
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), primary_key=True),
    Column("notice", String(100), primary_key=True),
)

tuner_workers = Table(
    "tuner_workers",
    metadata,
    Column("worker_id", String(200), primary_key=True),
    Column("study_id", Integer, ForeignKey("tuner_studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("started_at", Float(53), nullable=False),
    Column("beat_at", Float(53), nullable=False),
    Column("lease_s", Float(53), nullable=False),
    Column("beat_s", Float(53), nullable=False),
    Column("stopped", Boolean, nullable=False),
)
