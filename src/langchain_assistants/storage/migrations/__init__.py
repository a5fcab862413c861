"""Alembic migrations: numbered, forward only."""
