"""Pages of lists; which query a page comes from is its maker's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import WireObject, request

ObjectT = TypeVar("ObjectT", bound=WireObject)
Order = Literal["asc", "desc"]


@request
class ListParams(TypedDict, total=False):
    """Which part of a list to give; newest first unless `order` is `asc`."""

    limit: Annotated[int, Field(ge=1, le=100)] | None
    order: Order | None
    after: str | None
    before: str | None


class _Page(Generic[ObjectT]):
    """Hold the objects of one page."""

    __slots__ = ("data", "has_more", "order")

    def __init__(self, data: list[ObjectT], has_more: bool, order: Order) -> None:
        self.data = data
        self.has_more = has_more
        self.order = order

    @property
    def first_id(self) -> str | None:
        """The id of the page's first object."""
        return _id_of(self.data[0]) if self.data else None

    @property
    def last_id(self) -> str | None:
        """The id of the page's last object: the next page begins after it."""
        return _id_of(self.data[-1]) if self.data else None

    def has_next_page(self) -> bool:
        """Tell whether the list goes on after this page."""
        return self.has_more and bool(self.data)

    def to_dict(self) -> dict[str, Any]:
        """Give the page as plain JSON data, as it goes over the wire."""
        return {**self.envelope(), "data": [item.to_dict() for item in self.data]}

    def envelope(self) -> dict[str, Any]:
        """Give the wire's list envelope with the page's objects in it."""
        return {
            "object": "list",
            "data": self.data,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "has_more": self.has_more,
        }

    def _next_cursor(self) -> str:
        if not self.has_next_page():
            raise RuntimeError("This is the last page; ask has_next_page() first.")
        return _id_of(self.data[-1])

    def _repr_html_(self) -> str | None:
        """Show the page in a notebook; None: as text."""
        from langchain_assistants.types.html import to_html

        return to_html(self)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.data)} objects, "
            f"first_id={self.first_id!r}, has_more={self.has_more})"
        )


class Page(_Page[ObjectT]):
    """Be one page of a list; iteration goes on over all pages after it.

    Example:
        >>> page = Page([Deleted(id="a", object="x.deleted")], has_more=False)
        >>> [item.id for item in page]
        ['a']
    """

    __slots__ = ("_fetch_next",)

    def __init__(
        self,
        data: list[ObjectT],
        *,
        has_more: bool = False,
        order: Order = "desc",
        fetch_next: Callable[[str], Page[ObjectT]] | None = None,
    ) -> None:
        """Hold a page.

        Args:
            data: The objects of this page.
            has_more: Whether the list goes on after them.
            order: In which the list is; chats are shown oldest first whatever it is.
            fetch_next: Gives the page after the object with this id, under the same
                filters, order and limit. Needed where `has_more` is true.
        """
        super().__init__(data, has_more, order)
        self._fetch_next = fetch_next

    def get_next_page(self) -> Page[ObjectT]:
        """Fetch the page after this one.

        Raises:
            RuntimeError: This is the last page.
        """
        cursor = self._next_cursor()
        if self._fetch_next is None:
            raise RuntimeError("This page was made without a way to fetch the next.")
        return self._fetch_next(cursor)

    def __iter__(self) -> Iterator[ObjectT]:
        page = self
        while True:
            yield from page.data
            if not page.has_next_page():
                return
            page = page.get_next_page()


class AsyncPage(_Page[ObjectT]):
    """Be one page of a list; `async for` goes on over all pages after it."""

    __slots__ = ("_fetch_next",)

    def __init__(
        self,
        data: list[ObjectT],
        *,
        has_more: bool = False,
        order: Order = "desc",
        fetch_next: Callable[[str], Awaitable[AsyncPage[ObjectT]]] | None = None,
    ) -> None:
        """Hold a page; the arguments are those of `Page`."""
        super().__init__(data, has_more, order)
        self._fetch_next = fetch_next

    async def get_next_page(self) -> AsyncPage[ObjectT]:
        """Fetch the page after this one.

        Raises:
            RuntimeError: This is the last page.
        """
        cursor = self._next_cursor()
        if self._fetch_next is None:
            raise RuntimeError("This page was made without a way to fetch the next.")
        return await self._fetch_next(cursor)

    async def __aiter__(self) -> AsyncIterator[ObjectT]:
        page = self
        while True:
            for item in page.data:
                yield item
            if not page.has_next_page():
                return
            page = await page.get_next_page()


class AsyncPaginator(Generic[ObjectT]):
    """Give the first page when awaited, every object under `async for`."""

    __slots__ = ("_fetch_first",)

    def __init__(
        self, fetch_first: Callable[[], Awaitable[AsyncPage[ObjectT]]]
    ) -> None:
        """Fetch nothing yet.

        Args:
            fetch_first: Gives the list's first page.
        """
        self._fetch_first = fetch_first

    def __await__(self) -> Generator[Any, None, AsyncPage[ObjectT]]:
        return self._fetch_first().__await__()

    async def __aiter__(self) -> AsyncIterator[ObjectT]:
        async for item in await self:
            yield item


def _id_of(item: WireObject) -> str:
    return item.id  # type: ignore[attr-defined, no-any-return]
