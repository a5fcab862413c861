from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_assistants.types import AsyncPage, AsyncPaginator, Page, Thread


def threads(count: int) -> list[Thread]:
    return [Thread(id=f"thread_{number}", created_at=number) for number in range(count)]


class Shelf:
    """A list that is read page by page, and remembers how often."""

    def __init__(self, count: int, limit: int) -> None:
        self.items = threads(count)
        self.limit = limit
        self.asked: list[str | None] = []

    def _slice(self, after: str | None) -> tuple[list[Thread], bool]:
        self.asked.append(after)
        ids = [item.id for item in self.items]
        start = ids.index(after) + 1 if after else 0
        end = start + self.limit
        return self.items[start:end], end < len(self.items)

    def page(self, after: str | None = None) -> Page[Thread]:
        data, has_more = self._slice(after)
        return Page(data, has_more=has_more, fetch_next=self.page)

    async def apage(self, after: str | None = None) -> AsyncPage[Thread]:
        data, has_more = self._slice(after)
        return AsyncPage(data, has_more=has_more, fetch_next=self.apage)


@given(count=st.integers(0, 12), limit=st.integers(1, 5))
def test_iteration_gives_every_object_of_every_page_once(
    count: int, limit: int
) -> None:
    shelf = Shelf(count, limit)
    assert list(shelf.page()) == shelf.items
    assert len(shelf.asked) == max(1, -(-count // limit))


async def test_async_iteration_gives_every_object_of_every_page_once() -> None:
    shelf = Shelf(5, 2)
    assert [item async for item in await shelf.apage()] == shelf.items
    assert shelf.asked == [None, "thread_1", "thread_3"]


def test_pages_are_fetched_only_when_they_are_reached() -> None:
    shelf = Shelf(5, 2)
    iterator = iter(shelf.page())
    next(iterator), next(iterator)
    assert shelf.asked == [None]
    next(iterator)
    assert shelf.asked == [None, "thread_1"]


def test_a_page_knows_its_ends_and_the_next_page() -> None:
    page = Shelf(3, 2).page()
    assert (page.first_id, page.last_id, page.has_more) == (
        "thread_0",
        "thread_1",
        True,
    )
    assert page.has_next_page()
    last = page.get_next_page()
    assert [item.id for item in last.data] == ["thread_2"]
    assert not last.has_next_page()
    with pytest.raises(RuntimeError, match="last page"):
        last.get_next_page()


async def test_an_async_page_knows_the_next_page() -> None:
    page = await Shelf(3, 2).apage()
    last = await page.get_next_page()
    assert [item.id for item in last.data] == ["thread_2"]
    with pytest.raises(RuntimeError, match="last page"):
        await last.get_next_page()


def test_an_empty_page_ends_the_list() -> None:
    page: Page[Thread] = Page([], has_more=True)
    assert (page.first_id, page.last_id) == (None, None)
    assert not page.has_next_page()
    assert list(page) == []


async def test_a_page_without_a_way_on_says_so() -> None:
    with pytest.raises(RuntimeError, match="without a way"):
        Page(threads(1), has_more=True).get_next_page()
    with pytest.raises(RuntimeError, match="without a way"):
        await AsyncPage(threads(1), has_more=True).get_next_page()


def test_a_page_goes_out_as_the_wires_list() -> None:
    page = Page(threads(1))
    assert page.to_dict() == {
        "object": "list",
        "data": [page.data[0].to_dict()],
        "first_id": "thread_0",
        "last_id": "thread_0",
        "has_more": False,
    }
    assert repr(page) == "Page(1 objects, first_id='thread_0', has_more=False)"


async def test_a_paginator_gives_the_first_page_or_every_object() -> None:
    shelf = Shelf(5, 2)
    paginator = AsyncPaginator(shelf.apage)
    assert shelf.asked == []
    page = await paginator
    assert page.data == shelf.items[:2]
    assert [item async for item in paginator] == shelf.items
