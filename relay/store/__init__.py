"""The database adapter: SQLAlchemy Core over SQLite, one writer with group commit, Alembic migrations."""
