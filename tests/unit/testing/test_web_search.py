"""The scripted web: ddgs' own code finds its pages, and nothing leaves the process."""

from __future__ import annotations

import primp
import pytest
from ddgs import DDGS
from ddgs.exceptions import DDGSException, TimeoutException

from langchain_assistants.testing.web_search import Page, ScriptedWebSearch

ADA = {
    "title": "Ada & the <engine>",
    "url": "https://ada.example/?born=1815&in=London",
    "snippet": 'She wrote "notes" to a < b.',
    "date": "1843-09-01",
    "source": "Taylor's Scientific Memoirs",
}


@pytest.mark.parametrize("backend", ["auto", "duckduckgo"])
def test_ddgs_finds_the_pages(backend: str) -> None:
    with ScriptedWebSearch([ADA]) as web:
        (text,) = DDGS().text("Ada", backend=backend)
        (news,) = DDGS().news("Ada", backend=backend)
    assert text == {
        "title": "Ada & the",  # ddgs takes <engine> for a tag
        "href": ADA["url"],
        "body": 'She wrote "notes" to a < b.',
    }
    assert (news["url"], news["date"], news["source"]) == (
        ADA["url"],
        ADA["date"],
        ADA["source"],
    )
    assert web.queries == ["Ada", "Ada"]
    assert len(web.requests) >= 3


def test_pages_may_depend_on_the_query() -> None:
    def pages(query: str) -> list[Page]:
        return [{**ADA, "title": query.upper()}]

    with ScriptedWebSearch(pages):
        assert DDGS().text("ada")[0]["title"] == "ADA"


def test_other_search_engines_find_nothing() -> None:
    with ScriptedWebSearch([ADA]) as web:
        for engine in ("wikipedia", "grokipedia", "brave", "mojeek", "yahoo"):
            with pytest.raises(DDGSException, match="No results found"):
                DDGS().text("Ada", backend=engine)
    assert web.queries == []
    assert len(web.requests) == 5


def test_a_failure_can_be_set_and_cleared() -> None:
    with ScriptedWebSearch([ADA], failure="timeout") as web:
        with pytest.raises(TimeoutException, match="timed out"):
            DDGS().text("Ada")
        web.failure = "offline"
        with pytest.raises(DDGSException, match="ConnectError"):
            DDGS().text("Ada")
        web.failure = "blocked"
        with pytest.raises(DDGSException, match="No results found"):
            DDGS().text("Ada")
        web.failure = None
        assert DDGS().text("Ada")


def test_the_network_is_back_after_the_block_even_after_an_error() -> None:
    def fail() -> None:
        with ScriptedWebSearch():
            assert primp.Client is not real
            raise ZeroDivisionError

    real = primp.Client
    with pytest.raises(ZeroDivisionError):
        fail()
    assert primp.Client is real
