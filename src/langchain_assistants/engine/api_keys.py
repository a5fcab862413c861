"""API keys: made, listed and revoked; a server asks here whose a key is."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import insert, select, update

from langchain_assistants.engine.portal import Portal, blocking
from langchain_assistants.engine.workplace import DEFAULT_TENANT, Workplace
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import api_keys as table
from langchain_assistants.types.api_keys import ApiKey, NewApiKey
from langchain_assistants.types.validation import check_id

PREFIX = "key_"
KIND = "API key"
MARK = "sk-lca-"
"""How every key begins; clients and secret scanners expect `sk-`."""

_SECRET_BYTES = 32
_HINT = 4
_MAX_TENANT = 64

_INSERT = Statement(
    insert(table).values({c.name: param(c.name) for c in table.c if c.name != "seq"})
)
_BY_DIGEST = Statement(select(table).where(table.c.digest == param("digest")))
_BY_ID = Statement(select(table).where(table.c.id == param("id")))
_ALL = Statement(select(table).order_by(table.c.seq))
_VALID = Statement(select(table.c.id).where(table.c.revoked_at.is_(None)).limit(1))
_REVOKE = Statement(
    update(table)
    .where(table.c.id == param("id"), table.c.revoked_at.is_(None))
    .values(revoked_at=param("now"))
)


class ApiKeys:
    """API keys of all tenants.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> engine.api_keys.create(tenant="acme").key
        'sk-lca-...'
    """

    def __init__(
        self, workplace: Workplace, *, secret: Callable[[int], str] | None = None
    ) -> None:
        """Take the workplace, and what makes the secret part of a key."""
        self._workplace = workplace
        self._secret = secret or secrets.token_urlsafe

    @property
    def portal(self) -> Portal:
        """The loop that synchronous twins wait for."""
        return self._workplace.portal

    async def acreate(
        self, *, tenant: str = DEFAULT_TENANT, name: str | None = None
    ) -> NewApiKey:
        """Make a key of 256 random bits; only its SHA-256 is stored.

        Args:
            tenant: Whose objects the key gives access to.
            name: What its owner calls it.

        Raises:
            InvalidRequestError: The tenant has no name, or a very long one.
        """
        if not tenant.strip() or len(tenant) > _MAX_TENANT or not tenant.isprintable():
            raise InvalidRequestError(
                "Invalid 'tenant': expected a printable name of at most "
                f"{_MAX_TENANT} characters.",
                code="invalid_value",
                param="tenant",
            )
        key = MARK + self._secret(_SECRET_BYTES)
        row: dict[str, Any] = {
            "id": self._workplace.new_id(PREFIX),
            "tenant": tenant,
            "name": name,
            "digest": _digest(key),
            "hint": key[-_HINT:],
            "created_at": self._workplace.clock(),
            "revoked_at": None,
        }

        def store() -> Transaction[None]:
            yield _INSERT(**row)

        await self._workplace.database.write(store())
        return NewApiKey(**_to_api_key(row).to_dict(), key=key)

    async def alist(self) -> list[ApiKey]:
        """Return every key, revoked ones too, oldest first."""

        def read() -> Transaction[list[Row]]:
            return (yield _ALL())

        return [_to_api_key(row) for row in await self._workplace.database.read(read())]

    async def arevoke(self, key_id: str) -> ApiKey:
        """Refuse a key from now on; revoking it again changes nothing.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(key_id, "key_id", PREFIX)
        now = self._workplace.clock()

        def revoke() -> Transaction[Row]:
            yield _REVOKE(id=key_id, now=now)
            row = first((yield _BY_ID(id=key_id)))
            if row is None:
                raise NotFoundError.for_id(KIND, key_id)
            return row

        return _to_api_key(await self._workplace.database.write(revoke()))

    async def afind(self, key: str) -> ApiKey | None:
        """Return what is stored of a key, revoked or not; None of an unknown one."""
        if not key.startswith(MARK):
            return None

        def read() -> Transaction[Row | None]:
            return first((yield _BY_DIGEST(digest=_digest(key))))

        row = await self._workplace.database.read(read())
        return None if row is None else _to_api_key(row)

    async def aany(self) -> bool:
        """Tell whether there is a key that is not revoked."""

        def read() -> Transaction[bool]:
            return first((yield _VALID())) is not None

        return await self._workplace.database.read(read())

    create = blocking(acreate)
    list = blocking(alist)
    revoke = blocking(arevoke)
    find = blocking(afind)
    any = blocking(aany)


def _digest(key: str) -> str:
    # A random key needs no slow hash: there is nothing to guess.
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _to_api_key(row: Row) -> ApiKey:
    revoked_at = row["revoked_at"]
    return ApiKey(
        id=row["id"],
        created_at=int(row["created_at"]),
        tenant=row["tenant"],
        name=row["name"],
        hint=row["hint"],
        revoked_at=None if revoked_at is None else int(revoked_at),
    )
