"""The commands `keys create`, `keys list` and `keys revoke`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.location import database_url, existing_database_url
from langchain_assistants.terminal.transcript import printable
from langchain_assistants.types import ApiKey


def create_key(*, database: str | None, tenant: str, name: str | None) -> int:
    """Make a key and print it, the only time that it is seen.

    On standard output there is nothing but the key, so that it can be piped.
    """
    with _engine_on(database_url(database, Settings())) as engine:
        key = engine.api_keys.create(tenant=tenant, name=name)
    print(key.key, flush=True)
    told = f"{key.id} for the tenant {printable(tenant)}. It is not shown again."
    Console(stderr=True, highlight=False).print(Text(told, "dim"), soft_wrap=True)
    return 0


def list_keys(*, database: str | None) -> int:
    """Print every key's id, tenant, name, end and times."""
    with _engine_on(existing_database_url(database, Settings())) as engine:
        keys = engine.api_keys.list()
    if not keys:
        print("There are no keys.")
        return 0
    table = Table("id", "tenant", "name", "key", "created", "revoked", box=None)
    # `keys revoke` takes the whole id: on a narrow terminal others make room.
    table.columns[0].min_width = max(len(key.id) for key in keys)
    for key in keys:
        table.add_row(*map(Text, _cells(key)))
    Console(highlight=False).print(table)
    return 0


def revoke_key(key_id: str, *, database: str | None) -> int:
    """Refuse a key from now on."""
    with _engine_on(existing_database_url(database, Settings())) as engine:
        key = engine.api_keys.revoke(key_id)
    print(f"{key.id} of the tenant {printable(key.tenant)} is revoked.")
    return 0


def _engine_on(url: str) -> AssistantsEngine:
    return AssistantsEngine(url, recover=False)


def _cells(key: ApiKey) -> list[str]:
    return [
        key.id,
        printable(key.tenant),
        printable(key.name or ""),
        f"...{key.hint}",
        _day(key.created_at),
        "" if key.revoked_at is None else _day(key.revoked_at),
    ]


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
