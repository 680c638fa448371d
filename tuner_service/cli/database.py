"""Commands for whoever looks after the database: its tables, and who may do what."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner_service.cli import options as o
from tuner_service.cli.output import out, print_note

db = typer.Typer(no_args_is_help=True, help="Look after the database: its tables, and who may do what.")


@db.command()
def migrate(storage: o.Storage = None) -> None:
    """Make the tables where they are missing; elsewhere `create` and `coordinator` do so."""
    o.connect(storage).create_tables()
    print_note("the tables are there")


@db.command()
def roles(
    storage: o.Storage = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="NAME", help="Of the roles: NAME_owner, NAME_coordinator and so on.")
    ] = "tuner",
    apply: Annotated[bool, typer.Option("--apply", help="Do it, with the tables; by default it is printed.")] = False,
) -> None:
    """Give PostgreSQL four roles with no more rights than each needs: owner, coordinator, worker, reader."""
    from tuner_service.storage.sql.roles import check_prefix, roles_sql

    check_prefix(prefix)
    if not apply:
        out.print(";\n".join(roles_sql(prefix)) + ";", markup=False, soft_wrap=True)
        return
    ledger = o.connect(storage)
    ledger.create_tables()
    ledger.create_roles(prefix)
    print_note(f"{prefix}_owner, {prefix}_coordinator, {prefix}_worker and {prefix}_reader have their rights")
