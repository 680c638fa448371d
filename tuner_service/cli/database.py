"""Commands for whoever looks after the database: its tables, and who may do what."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner_service.cli import options as o
from tuner_service.cli.output import out, print_note
from tuner_service.storage.ledger_storage import LedgerStorage

db = typer.Typer(no_args_is_help=True, help="Look after the database: its tables, and who may do what.")


# What Optuna's own command is called, and is looked for here too.
@db.command("upgrade", hidden=True)
@db.command()
def migrate(storage: o.Storage = None) -> None:
    """Bring the tables of an older version up to date, Optuna's too; where they are missing, make them.

    Workers and coordinators of the version before finish what they run, take nothing more, and say so.
    """
    print_note(_migrated(o.connect(storage)))


def _migrated(ledger: LedgerStorage) -> str:
    before = ledger.migrate_tables()
    if before is None:
        return "the tables are there now"
    return f"the tables were of version {before}, and are up to date"


@db.command()
def roles(
    storage: o.Storage = None,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix", metavar="NAME", help="Prefix of the roles' names: NAME_owner, NAME_coordinator and so on."
        ),
    ] = "tuner",
    apply: Annotated[
        bool, typer.Option("--apply", help="Migrate the tables and apply the SQL instead of printing it.")
    ] = False,
) -> None:
    """Give PostgreSQL four roles with no more rights than each needs: owner, coordinator, worker, reader."""
    from tuner_service.storage.sql.roles import check_prefix, roles_sql

    check_prefix(prefix)
    if not apply:
        out.print(";\n".join(roles_sql(prefix)) + ";", markup=False, soft_wrap=True)
        return
    ledger = o.connect(storage)
    print_note(_migrated(ledger))
    ledger.create_roles(prefix)
    print_note(f"{prefix}_owner, {prefix}_coordinator, {prefix}_worker and {prefix}_reader have their rights")
