"""What assistants, threads, messages, runs and steps share: their place and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Unpack

from langchain_assistants.engine.listing import Listing, Slice
from langchain_assistants.engine.origin import EngineOrigin
from langchain_assistants.engine.portal import Portal
from langchain_assistants.errors import (
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
)
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.pages import (
    AsyncPage,
    AsyncPaginator,
    ListParams,
    Order,
    Page,
)
from langchain_assistants.types.records import Origin, bind
from langchain_assistants.types.validation import validate

if TYPE_CHECKING:
    from langchain_assistants.engine.workplace import Workplace

ObjectT = TypeVar("ObjectT", bound=WireObject)


class Resource:
    """One kind of object, as one tenant sees it."""

    def __init__(self, workplace: Workplace, *, tenant: str) -> None:
        """Bind the resource to what the engine works with."""
        self._workplace = workplace
        self._tenant = tenant
        self._origin = EngineOrigin(workplace, tenant)

    @property
    def tenant(self) -> str:
        """Whose objects these are."""
        return self._tenant

    @property
    def portal(self) -> Portal:
        """The loop that synchronous twins wait for."""
        return self._workplace.portal

    @property
    def origin(self) -> Origin:
        """Reads what a notebook shows with an object."""
        return self._origin

    def bound(self, item: ObjectT) -> ObjectT:
        """Return an object that a notebook shows with what belongs to it."""
        bind(item, self._origin)
        return item


Anchor = Callable[[str], Transaction[int]]
"""Finds the sequence number of an object in the list, or raises NotFoundError."""


class ObjectList:
    """Turns list parameters into pages: sync, async and iterated alike."""

    def __init__(
        self,
        workplace: Workplace,
        read: Callable[[Mapping[str, Any]], Transaction[Slice]],
        convert: Callable[[Row], Any],
    ) -> None:
        """Remember how to read a slice of rows and how to convert one row."""
        self._workplace = workplace
        self._read = read
        self._convert = convert

    @classmethod
    def of_tenant(
        cls,
        workplace: Workplace,
        tenant: str,
        listing: Listing,
        find: Callable[[str, str], Transaction[Row]],
        convert: Callable[[Row], Any],
    ) -> ObjectList:
        """Return the list of all of a tenant's objects of one kind.

        Args:
            workplace: Where they are stored.
            tenant: Whose they are.
            listing: Reads them, within the scope `tenant`.
            find: Reads the row of one by its id and tenant.
            convert: Makes the wire's object of a row.
        """

        def anchor(object_id: str) -> Transaction[int]:
            return int((yield from find(object_id, tenant))["seq"])

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            return read_slice(listing, params, anchor, tenant=tenant)

        return cls(workplace, read, convert)

    async def _slice(self, params: Mapping[str, Any]) -> tuple[list[Any], bool]:
        rows, has_more = await self._workplace.database.read(self._read(params))
        return [self._convert(row) for row in rows], has_more

    async def apage(self, params: Mapping[str, Any]) -> AsyncPage[Any]:
        """Fetch a page."""
        data, has_more = await self._slice(params)
        return AsyncPage(
            data,
            has_more=has_more,
            order=params["order"],
            fetch_next=lambda after: self.apage(following(params, after)),
        )

    def page(self, params: Mapping[str, Any]) -> Page[Any]:
        """Fetch a page, blocking."""
        data, has_more = self._workplace.portal.call(lambda: self._slice(params))
        return Page(
            data,
            has_more=has_more,
            order=params["order"],
            fetch_next=lambda after: self.page(following(params, after)),
        )

    def paginate(self, params: Mapping[str, Any]) -> AsyncPaginator[Any]:
        """Return what may be awaited for a page or iterated for all objects."""
        return AsyncPaginator(lambda: self.apage(params))


def following(params: Mapping[str, Any], after: str) -> dict[str, Any]:
    """Return the parameters of the next page."""
    return {**params, "after": after, "before": None}


def list_params(
    **given: Unpack[ListParams],
) -> dict[str, Any]:
    """Check list parameters and fill in the defaults: 20, newest first."""
    params = validate(ListParams, given)
    return {
        "limit": params.get("limit") or 20,
        "order": params.get("order") or "desc",
        "after": params.get("after"),
        "before": params.get("before"),
    }


def read_slice(
    listing: Listing,
    params: Mapping[str, Any],
    anchor: Anchor,
    *,
    low: int | None = None,
    high: int | None = None,
    **scope: Any,
) -> Transaction[Slice]:
    """Read the slice of a list that its parameters ask for.

    Raises:
        NotFoundError: `after` or `before` names no object of the list.
    """
    after, before = params["after"], params["before"]
    order: Order = params["order"]
    return (
        yield from listing.slice(
            order=order,
            limit=params["limit"],
            after=None if after is None else (yield from anchor(after)),
            before=None if before is None else (yield from anchor(before)),
            low=low,
            high=high,
            **scope,
        )
    )


def required_row(
    statement: Statement, kind: str, object_id: str, **values: Any
) -> Transaction[Row]:
    """Read the one row of an object.

    Raises:
        NotFoundError: There is none with this id for this tenant.
    """
    row = first((yield statement(id=object_id, **values)))
    if row is None:
        raise NotFoundError.for_id(kind, object_id)
    return row


def not_null(fields: Mapping[str, Any], *names: str) -> None:
    """Refuse a null for a field that every object has.

    Raises:
        InvalidRequestError: One of the fields is given as null.
    """
    for name in names:
        if name in fields and fields[name] is None:
            raise InvalidRequestError(
                f"Invalid type for '{name}': expected a string, but got null instead.",
                code="invalid_type",
                param=name,
            )
