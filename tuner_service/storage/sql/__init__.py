"""The ledger's backend on PostgreSQL and SQLite: the same statements on both."""
