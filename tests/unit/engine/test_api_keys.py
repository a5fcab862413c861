"""API keys: what is stored of them, and what they are found by."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.conftest import Clock, EngineFactory
from tests.stored import path_of

from langchain_assistants.errors import InvalidRequestError, NotFoundError


def test_a_key_has_256_random_bits_and_only_its_digest_is_stored(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    first, second = engine.api_keys.create(), engine.api_keys.create(name="CI")
    assert first.key.startswith("sk-lca-")
    assert len(first.key.removeprefix("sk-lca-")) == 43  # 32 bytes in base 64
    assert first.key != second.key
    with closing(sqlite3.connect(path_of(engine))) as connection:
        rows = connection.execute("SELECT * FROM api_keys").fetchall()
    assert first.key not in str(rows)
    assert first.key.removeprefix("sk-lca-") not in str(rows)


def test_a_key_is_found_by_itself_and_by_nothing_else(
    engine_factory: EngineFactory,
) -> None:
    keys = engine_factory().api_keys
    made = keys.create(tenant="acme", name="CI")
    found = keys.find(made.key)
    assert found is not None
    assert (found.id, found.tenant, found.name) == (made.id, "acme", "CI")
    assert found.hint == made.key[-4:]
    assert not hasattr(found, "key")
    for other in ("", made.key[:-1], made.key + "x", made.id, "sk-lca-\ud800"):
        assert keys.find(other) is None


def test_the_look_up_is_by_an_index(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    with closing(sqlite3.connect(path_of(engine))) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE digest = 'x'"
        ).fetchall()
    assert "ix_api_keys_digest" in str(plan)


def test_a_revoked_key_stays_revoked_since_the_first_time(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    keys = engine_factory(clock=clock).api_keys
    made = keys.create()
    assert keys.any()
    clock.advance(5)
    revoked = keys.revoke(made.id)
    assert revoked.revoked_at == made.created_at + 5
    clock.advance(5)
    assert keys.revoke(made.id) == revoked
    assert keys.find(made.key) == revoked
    assert keys.list() == [revoked]
    assert not keys.any()
    with pytest.raises(NotFoundError, match="No API key found with id 'key_x'"):
        keys.revoke("key_x")
    with pytest.raises(InvalidRequestError, match="begins with 'key_'"):
        keys.revoke(made.key)


@pytest.mark.parametrize("tenant", ["", " ", "x" * 65, "a\nb"])
def test_a_tenant_has_a_printable_name(
    engine_factory: EngineFactory, tenant: str
) -> None:
    with pytest.raises(InvalidRequestError, match="Invalid 'tenant'"):
        engine_factory().api_keys.create(tenant=tenant)
