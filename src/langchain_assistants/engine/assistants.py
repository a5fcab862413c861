"""Assistants: stored settings of a model, under an id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update
from typing_extensions import Unpack

from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    not_null,
    required_row,
)
from langchain_assistants.engine.vector_store_creation import (
    NewToolResources,
    stored_resources,
)
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.tables import assistants as table
from langchain_assistants.types.assistants import (
    Assistant,
    AssistantCreate,
    AssistantUpdate,
)
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.validation import check_id, validate

PREFIX = "asst_"
KIND = "assistant"

_TEXT = ("name", "description", "model", "instructions", "reasoning_effort")
_NUMBERS = ("temperature", "top_p")
_JSON = ("tools", "tool_resources", "metadata", "response_format")
_FIELDS = (*_TEXT, *_NUMBERS, *_JSON)

_INSERT = Statement(
    insert(table).values(
        {c.name: param(c.name) for c in table.c if c.name != "seq"},
    )
)
_BY_ID = Statement(
    select(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_BY_DIGEST = Statement(
    select(table)
    .where(table.c.tenant == param("tenant"), table.c.digest == param("digest"))
    .order_by(table.c.seq)
    .limit(1)
)
_UPDATE = Statement(
    update(table)
    .where(table.c.id == param("id"), table.c.tenant == param("tenant"))
    .values({name: param(name) for name in _FIELDS})
    .values(version=table.c.version + 1, digest=param("digest"))
)
_DELETE = Statement(
    delete(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_ALL = Listing.of(table.c.seq, table.c.tenant == param("tenant"))


def assistant_row(assistant_id: str, tenant: str) -> Transaction[Row]:
    """Read an assistant's row.

    Raises:
        NotFoundError: There is none with this id.
    """
    return (yield from required_row(_BY_ID, KIND, assistant_id, tenant=tenant))


def to_assistant(row: Row) -> Assistant:
    """Return the wire's object for a row."""
    return Assistant(
        id=row["id"],
        created_at=int(row["created_at"]),
        version=row["version"],
        **{name: row[name] for name in (*_TEXT[:-1], *_NUMBERS)},
        **{name: from_json(row[name]) for name in _JSON},
    )


def _columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an assistant's content, with the digest over them.

    A sampling field that is not given stays NULL: the model keeps its own default.
    The digest is over what was asked for: a vector store to be made has no id then.
    """
    columns: dict[str, Any] = {name: body.get(name) for name in (*_TEXT, *_NUMBERS)}
    columns["tools"] = to_json(body.get("tools") or [])
    columns["metadata"] = to_json(body.get("metadata") or {})
    columns["tool_resources"] = to_json(stored_resources(body.get("tool_resources")))
    columns["response_format"] = to_json(body.get("response_format") or "auto")
    content = to_json([columns[name] for name in sorted(columns)])
    columns["digest"] = hashlib.sha256(content.encode()).hexdigest()
    return columns


class Assistants(Resource):
    """Assistants of one tenant.

    Example:
        >>> engine = AssistantsEngine("sqlite:///:memory:")  # doctest: +SKIP
        >>> engine.assistants.create(model="openai:gpt-4o", name="Tutor")
    """

    async def acreate(self, **fields: Unpack[AssistantCreate]) -> Assistant:
        """Store a new assistant.

        Raises:
            InvalidRequestError: A field breaks a rule of the Assistants API.
            NotFoundError: A vector store is to be made of a file that is not there.
        """
        return to_assistant(await self._insert(validate(AssistantCreate, fields)))

    async def aget_or_create(self, **fields: Unpack[AssistantCreate]) -> Assistant:
        """Return the assistant with exactly this content, or store it.

        Never updates: other content under the same name gives a new assistant
        (extension, for notebook cells that are run again).
        """
        body = validate(AssistantCreate, fields)
        return to_assistant(await self._insert(body, reuse=True))

    async def _insert(self, body: Mapping[str, Any], *, reuse: bool = False) -> Row:
        place, now = self._workplace, self._workplace.clock()
        resources = NewToolResources.of(
            body.get("tool_resources"),
            tenant=self._tenant,
            now=now,
            new_id=place.new_id,
        )
        columns = _columns(body)
        columns |= {
            "id": place.new_id(PREFIX),
            "tenant": self._tenant,
            "version": 1,
            "created_at": now,
            "tool_resources": to_json(resources.stored),
        }

        def store() -> Transaction[Row]:
            if reuse:
                known = first(
                    (yield _BY_DIGEST(tenant=self._tenant, digest=columns["digest"]))
                )
                if known is not None:
                    return known
            yield from resources.insert()
            yield _INSERT(**columns)
            return columns

        row = await place.database.write(store())
        if resources.has_files:
            place.attached.ring()
        return row

    async def aretrieve(self, assistant_id: str) -> Assistant:
        """Return an assistant.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(assistant_id, "assistant_id", PREFIX)
        row = await self._workplace.database.read(
            assistant_row(assistant_id, self._tenant)
        )
        return to_assistant(row)

    async def aupdate(
        self, assistant_id: str, **fields: Unpack[AssistantUpdate]
    ) -> Assistant:
        """Replace the given fields; an absent one is kept, a null cleared.

        Runs that were created before keep the content they started with.
        """
        check_id(assistant_id, "assistant_id", PREFIX)
        body = validate(AssistantUpdate, fields)
        not_null(body, "model")

        def store() -> Transaction[Row]:
            row = yield from assistant_row(assistant_id, self._tenant)
            content = {name: row[name] for name in (*_TEXT, *_NUMBERS)}
            content |= {name: from_json(row[name]) for name in _JSON}
            yield _UPDATE(
                id=assistant_id, tenant=self._tenant, **_columns(content | body)
            )
            return (yield from assistant_row(assistant_id, self._tenant))

        return to_assistant(await self._workplace.database.write(store()))

    async def adelete(self, assistant_id: str) -> Deleted:
        """Delete an assistant; threads and runs made with it stay."""
        check_id(assistant_id, "assistant_id", PREFIX)

        def remove() -> Transaction[None]:
            yield from assistant_row(assistant_id, self._tenant)
            yield _DELETE(id=assistant_id, tenant=self._tenant)

        await self._workplace.database.write(remove())
        return Deleted(id=assistant_id, object="assistant.deleted")

    def _list(self) -> ObjectList:
        return ObjectList.of_tenant(
            self._workplace, self._tenant, _ALL, assistant_row, to_assistant
        )

    def alist(self, **params: Unpack[ListParams]) -> AsyncPaginator[Assistant]:
        """List assistants: await the first page, or iterate over all of them."""
        return self._list().paginate(list_params(**params))

    def list(self, **params: Unpack[ListParams]) -> Page[Assistant]:
        """List assistants; iterating over the page goes on over all pages."""
        return self._list().page(list_params(**params))

    create = blocking(acreate)
    get_or_create = blocking(aget_or_create)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    delete = blocking(adelete)
