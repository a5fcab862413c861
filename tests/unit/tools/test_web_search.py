"""WebSearchTool: what the model gets to see of the web, and of its absence."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn

import anyio
import primp
import pytest
from ddgs.ddgs import DDGS
from ddgs.exceptions import RatelimitException
from langchain_core.messages import ToolMessage
from pydantic import ValidationError
from tests.conftest import Clock

from langchain_assistants import tools
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing.web_search import Failure, Page, ScriptedWebSearch
from langchain_assistants.tools import metasearch
from langchain_assistants.tools.web_search import WebSearchTool

ADA = {"title": "Ada", "url": "https://ada.example/", "snippet": "Born in 1815."}
BOB = {"title": "Bob", "url": "https://bob.example/", "snippet": "Born in 1816."}

Search = Callable[..., Awaitable[ToolMessage]]


@pytest.fixture(params=["sync", "async"])
def search(request: pytest.FixtureRequest) -> Search:
    """Call the tool as an agent does, synchronously or asynchronously."""

    async def call(tool: WebSearchTool, query: str = "Ada", **args: Any) -> ToolMessage:
        made = {
            "type": "tool_call",
            "id": "call_1",
            "name": tool.name,
            "args": {"query": query, **args},
        }
        message = (
            tool.invoke(made) if request.param == "sync" else await tool.ainvoke(made)
        )
        assert isinstance(message, ToolMessage)
        return message

    return call


@pytest.fixture
def web() -> Iterator[ScriptedWebSearch]:
    """A web of two pages."""
    with ScriptedWebSearch([ADA, BOB]) as scripted:
        yield scripted


def found(message: ToolMessage) -> list[dict[str, str]]:
    """Return the results, which program and model see alike."""
    results: list[dict[str, str]] = json.loads(str(message.content))
    assert message.status == "success"
    assert message.artifact == results
    return results


def form(web: ScriptedWebSearch, place: str) -> dict[str, str]:
    """Return the fields of the only request to a place."""
    (fields,) = [dict(form) for url, form in web.requests if place in url]
    return fields


async def test_the_content_is_a_json_list_and_the_artifact_the_same(
    web: ScriptedWebSearch, search: Search
) -> None:
    assert found(await search(WebSearchTool())) == [ADA, BOB]


async def test_news_tell_their_date_and_source(search: Search) -> None:
    told = {**ADA, "date": "2026-01-02T03:04:05+00:00", "source": "The Times"}
    with ScriptedWebSearch([told, BOB]):
        assert found(await search(WebSearchTool(news=True))) == [told, BOB]


async def test_the_model_may_choose_number_age_and_kind(
    web: ScriptedWebSearch, search: Search
) -> None:
    tool = WebSearchTool(max_results=2, time_range="year")
    assert len(found(await search(tool))) == 2
    assert form(web, "html.duckduckgo.com")["df"] == "y"
    chosen = await search(tool, max_results=1, time_range="day", news=True)
    assert len(found(chosen)) == 1
    assert form(web, "news.js")["df"] == "d"


async def test_the_tool_searches_as_it_was_configured(
    web: ScriptedWebSearch, search: Search
) -> None:
    tool = WebSearchTool(
        backend="duckduckgo", region="de-de", safesearch="off", news=True
    )
    await search(tool, " Ada ")
    assert {url.split("/")[2] for url, _ in web.requests} == {"duckduckgo.com"}
    asked = form(web, "news.js")
    assert (asked["q"], asked["l"], asked["p"]) == ("Ada", "de-de", "-2")


@pytest.mark.parametrize("news", [False, True])
async def test_nothing_found_is_an_empty_list_not_an_error(
    search: Search, news: bool
) -> None:
    with ScriptedWebSearch():
        assert found(await search(WebSearchTool(), news=news)) == []
    assert "an empty list means that nothing was found" in WebSearchTool().description


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("blocked", metasearch.REFUSED),
        ("timeout", metasearch.TIMED_OUT),
        ("offline", metasearch.UNREACHABLE),
    ],
)
async def test_a_failure_is_a_tool_error_and_is_not_remembered(
    web: ScriptedWebSearch, search: Search, failure: Failure, text: str, news: bool
) -> None:
    tool = WebSearchTool(backoff=0, news=news)
    web.failure = failure
    message = await search(tool)
    assert (message.status, message.content) == ("error", text)
    assert len(web.queries) == 3
    web.failure = None
    assert len(found(await search(tool))) == 2


@pytest.mark.parametrize("wrong", [{"query": " "}, {"max_results": 21}])
async def test_wrong_arguments_are_a_tool_error_that_names_them(
    web: ScriptedWebSearch, search: Search, wrong: dict[str, Any]
) -> None:
    message = await search(WebSearchTool(), **wrong)
    assert message.status == "error"
    assert str(message.content).startswith(f"Wrong arguments. {next(iter(wrong))}: ")
    assert web.requests == []


async def test_a_refusal_is_never_reported_as_nothing_found(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mixed(ScriptedWebSearch):
        def _request(self, method: str, url: str, **options: Any) -> Any:
            self.failure = "blocked" if "brave" in url else None
            return super()._request(method, url, **options)

    tool = WebSearchTool(backend="mojeek,brave", retries=0)
    with Mixed():
        assert (await search(tool)).content == metasearch.REFUSED
        # Should ddgs rename what is overridden, nobody knows of refusals any more.
        monkeypatch.delattr(metasearch._ObservedDDGS, "_get_engines")
        assert found(await search(tool)) == []


async def test_ddgs_own_word_for_a_limit_is_understood(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(*args: Any, **kwargs: Any) -> NoReturn:
        raise RatelimitException

    monkeypatch.setattr(DDGS, "text", limited)
    assert (await search(WebSearchTool(retries=0))).content == metasearch.REFUSED


async def test_an_answer_that_ddgs_cannot_read_is_a_tool_error(
    search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = {"title": None, "url": "https://ada.example/", "snippet": "secret"}
    with ScriptedWebSearch([broken]), caplog.at_level(logging.WARNING):
        message = await search(WebSearchTool(retries=0, news=True))
    assert message.content == metasearch.UNREACHABLE
    (record,) = caplog.records
    assert record.__dict__["error"] == "TypeError"
    assert "secret" not in caplog.text


async def test_a_failed_search_is_tried_again_after_longer_and_longer_waits(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def record(seconds: float) -> None:
        waits.append(seconds)

    def pages(query: str) -> list[Page]:
        if len(waits) < 3:
            raise primp.TimeoutError("operation timed out")
        return [ADA]

    monkeypatch.setattr(anyio, "sleep", record)
    with ScriptedWebSearch(pages) as web:
        tool = WebSearchTool(retries=3, backoff=1)
        assert found(await search(tool)) == [ADA]
    assert len(web.queries) == 4
    assert all(
        low <= wait <= low + 1 for low, wait in zip((1, 2, 4), waits, strict=True)
    )


async def test_a_search_that_hangs_ends_with_the_tools_own_timeout(
    search: Search,
) -> None:
    release = threading.Event()

    def pages(query: str) -> list[Page]:
        release.wait(30)
        return [ADA]

    with ScriptedWebSearch(pages):
        tool = WebSearchTool(timeout=0.01)
        message = await search(tool)
        assert (message.status, message.content) == ("error", metasearch.TIMED_OUT)
        release.set()


async def test_a_cancelled_search_lets_go_at_once_and_leaves_nothing() -> None:
    started, release = threading.Event(), threading.Event()

    def pages(query: str) -> list[Page]:
        started.set()
        release.wait(30)
        return [ADA]

    with ScriptedWebSearch(pages) as web:
        tool = WebSearchTool()
        task = asyncio.create_task(tool.ainvoke("Ada"))
        await asyncio.to_thread(started.wait)  # the loop is free meanwhile
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert json.loads(await tool.ainvoke("Ada")) == [ADA]
        assert web.queries == ["Ada", "Ada"]


async def test_the_same_search_is_remembered_for_a_while(
    web: ScriptedWebSearch, search: Search, clock: Clock
) -> None:
    tool = WebSearchTool(cache_ttl=60, cache_size=2, clock=clock)
    first = await search(tool)
    first.artifact[0]["title"] = "Changed by the program"
    clock.advance(59)
    assert found(await search(tool)) == [ADA, BOB]
    assert web.queries == ["Ada"]
    clock.advance(1)
    assert found(await search(tool)) == [ADA, BOB]
    assert web.queries == ["Ada"] * 2


async def test_only_a_search_with_the_same_settings_is_remembered(
    web: ScriptedWebSearch, search: Search
) -> None:
    tool = WebSearchTool()
    await search(tool)
    await search(tool, max_results=1)
    await search(tool, news=True)
    await search(tool, time_range="day")
    tool.region = "de-de"
    await search(tool)
    assert len(web.queries) == 5


async def test_nothing_found_is_not_remembered(search: Search) -> None:
    with ScriptedWebSearch() as web:
        tool = WebSearchTool()
        await search(tool)
        await search(tool)
    assert len(web.queries) == 2


def test_a_copy_of_the_tool_remembers_nothing(web: ScriptedWebSearch) -> None:
    tool = WebSearchTool(region="de-de")
    tool.invoke("Ada")
    for copied in (copy.deepcopy(tool), pickle.loads(pickle.dumps(tool))):
        copied.invoke("Ada")
        assert copied.region == "de-de"
    assert len(web.queries) == 3


async def test_what_a_page_says_is_one_plain_line_of_limited_length(
    search: Search,
) -> None:
    page = {
        "title": "A\x00d\u202ea " + "t" * 300,
        "url": "https://ada.example/",
        "snippet": "s\x1b[31m" + "é" * 600,
        "source": "Th\u200be\n\tTimes" + "x" * 200,
    }
    with ScriptedWebSearch([page]):
        (result,) = found(await search(WebSearchTool(news=True)))
    assert result["title"] == "Ada " + "t" * 195 + "…"
    assert result["snippet"] == "s[31m" + "é" * 494 + "…"
    assert result["source"] == "The Times" + "x" * 90 + "…"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "//ada.example/",
        "http://",
        "",
        "https://ada.example/" + "a" * 2_100,
    ],
)
async def test_a_result_without_a_web_address_is_left_out(
    search: Search, url: str
) -> None:
    with ScriptedWebSearch([{**ADA, "url": url}, BOB]):
        assert found(await search(WebSearchTool(), news=True)) == [BOB]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada.example/a%0A%00b", "https://ada.example/a%00b"),
        ("https://ada.example/<\u202ex>", "https://ada.example/%3C%E2%80%AEx%3E"),
        ("https://\u0430da.example/", "https://xn--da-6kc.example/"),
    ],
)
async def test_an_address_has_no_hidden_characters(
    search: Search, url: str, shown: str
) -> None:
    with ScriptedWebSearch([{**ADA, "url": url}]):
        (result,) = found(await search(WebSearchTool(), news=True))
    assert result["url"] == shown


async def test_many_long_results_are_cut_to_what_fits(search: Search) -> None:
    pages = [
        {**ADA, "url": f"https://ada.example/{n}/{'a' * 900}", "snippet": "s" * 600}
        for n in range(20)
    ]
    with ScriptedWebSearch(pages):
        message = await search(WebSearchTool(), max_results=20)
    assert 0 < len(found(message)) < 20
    assert len(message.content) <= 12_000


def test_without_ddgs_the_tool_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ddgs.base", None)
    monkeypatch.delitem(sys.modules, metasearch.__name__)
    monkeypatch.delattr(tools, "metasearch")
    with pytest.raises(ConfigurationError, match=r"langchain-assistants\[search\]"):
        WebSearchTool()


def test_a_search_engine_that_ddgs_has_not_got_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"named gogle; .* duckduckgo"):
        WebSearchTool(backend="duckduckgo, gogle")


def test_the_password_of_a_proxy_is_shown_nowhere() -> None:
    with pytest.raises(ConfigurationError, match="proxy cannot be used") as caught:
        WebSearchTool(proxy="ada:secret@proxy.example")
    assert caught.value.__suppress_context__
    tool = WebSearchTool(proxy="http://ada:secret@proxy.example:3128")
    assert "secret" not in repr(tool) + str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"max_result": 3}, {"region": "Germany"}, {"timeout": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        WebSearchTool(**wrong)
