"""The shared record: URLs, transactions, tables. The only room that knows PostgreSQL, SQLite and Redis."""
