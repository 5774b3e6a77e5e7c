"""A cache around any transport: RFC 9111 as a machine, and stores in memory, SQLite and Redis."""
