"""Web search without the web: given pages, sent to ddgs in DuckDuckGo's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import SimpleNamespace, TracebackType
from typing import Any, Literal, Self, TypeAlias
from unittest.mock import patch
from urllib.parse import urlsplit

Page: TypeAlias = Mapping[str, str]
"""A page with `title`, `url` and `snippet`; news also with `date` and `source`."""

Failure: TypeAlias = Literal["blocked", "timeout", "offline"]

# The first request of a search with DuckDuckGo: of text, and of news.
_ASKING = {"html.duckduckgo.com/html/", "duckduckgo.com"}

_EMPTY = "<html><body></body></html>"
_WITH_TOKEN = '<html><head><script>vqd="4-123";</script></head></html>'
_RESULT = """\
<div class="result results_links results_links_deep web-result">
  <div class="links_main links_deep result__body">
    <h2 class="result__title">
      <a rel="nofollow" class="result__a" href="{url}">{title}</a>
    </h2>
    <div class="result__extras">
      <a class="result__url" href="{url}">{url}</a>
    </div>
    <a class="result__snippet" href="{url}">{snippet}</a>
  </div>
</div>
"""


class ScriptedWebSearch:
    """Let every search in this process find given pages, as long as the block lasts.

    Only the HTTP client under ddgs is replaced: ddgs builds its requests and reads the
    answers as ever, so that `WebSearchTool` and LangChain's DuckDuckGo tools work
    unchanged. DuckDuckGo finds the pages, text and news alike; all other search
    engines find nothing.

    Args:
        pages: What is found, or a function of the query that returns it; it is called
            in one of ddgs' threads, and what it raises is a failure of the request.
        failure: How every request fails from now on; it may be set and cleared again.

    Attributes:
        failure: As given.
        queries: What DuckDuckGo was asked, in order; each attempt counts.
        requests: URL and form of every request, to whichever search engine.

    Example:
        ```python
        from langchain_assistants.testing.web_search import ScriptedWebSearch
        from langchain_assistants.tools.web_search import WebSearchTool

        page = {"title": "Ada", "url": "https://ada.example/", "snippet": "Born 1815."}
        with ScriptedWebSearch([page]) as web:
            assert "Born 1815." in WebSearchTool().invoke("Ada Lovelace")
            web.failure = "offline"
            assert "could not" in WebSearchTool(retries=0).invoke("Ada Lovelace")
        assert web.queries == ["Ada Lovelace", "Ada Lovelace"]
        ```
    """

    def __init__(
        self,
        pages: Sequence[Page] | Callable[[str], Sequence[Page]] = (),
        *,
        failure: Failure | None = None,
    ) -> None:
        self._pages = pages
        self.failure = failure
        self.queries: list[str] = []
        self.requests: list[tuple[str, Mapping[str, str]]] = []

    def __enter__(self) -> Self:
        self._patch = patch("primp.Client", self._client)
        self._patch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._patch.stop()

    def _client(self, **settings: Any) -> SimpleNamespace:
        def ignore(*args: Any) -> None:
            """Headers and cookies lead nowhere."""

        return SimpleNamespace(
            request=self._request, headers_update=ignore, set_cookies=ignore
        )

    def _request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
    ) -> SimpleNamespace:
        form = params or data or {}
        self.requests.append((url, form))
        address = urlsplit(url)
        place = f"{address.hostname}{address.path}"
        if place in _ASKING:
            self.queries.append(form["q"])
        if self.failure:
            return self._fail(url)
        match place:
            case "html.duckduckgo.com/html/":
                return _response(_html(self._find(form["q"])))
            case "duckduckgo.com":
                return _response(_WITH_TOKEN)
            case "duckduckgo.com/news.js":
                return _response(_news(self._find(form["q"])))
            case "grokipedia.com/api/typeahead":
                return _response('{"results": []}')
            case _ if place.endswith(".wikipedia.org/w/api.php"):
                return _response('["", [], [], []]')
        return _response(_EMPTY)

    def _fail(self, url: str) -> SimpleNamespace:
        import primp

        sending = f"error sending request for url ({url})"
        if self.failure == "timeout":
            raise primp.TimeoutError(f"{sending} > operation timed out")
        if self.failure == "offline":
            raise primp.ConnectError(f"{sending} > tcp connect error")
        # DuckDuckGo answers robots with a riddle, others with a plain refusal.
        return _response(_EMPTY, 202 if "duckduckgo.com" in url else 429)

    def _find(self, query: str) -> Sequence[Page]:
        return self._pages(query) if callable(self._pages) else self._pages


def _response(text: str, status_code: int = 200) -> SimpleNamespace:
    return SimpleNamespace(
        status_code=status_code, text=text, content=text.encode("utf-8", "replace")
    )


def _html(pages: Sequence[Page]) -> str:
    """Return what DuckDuckGo shows to a browser without JavaScript."""
    results = "".join(
        _RESULT.format(
            title=escape(page["title"]),
            url=escape(page["url"]),
            snippet=escape(page["snippet"]),
        )
        for page in pages
    )
    return f'<html><body><div class="results">{results}</div></body></html>'


def _news(pages: Sequence[Page]) -> str:
    results = [
        {
            "title": page["title"],
            "url": page["url"],
            "excerpt": page["snippet"],
            "date": page.get("date"),
            "source": page.get("source"),
        }
        for page in pages
    ]
    return json.dumps({"results": results})
