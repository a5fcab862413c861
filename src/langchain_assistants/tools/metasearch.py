"""One search with ddgs, its failures told apart.

It neither retries nor remembers; importing it needs the extra `search`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.tools import ToolException

from langchain_assistants.errors import ConfigurationError

try:
    from ddgs.base import BaseSearchEngine
    from ddgs.ddgs import DDGS
    from ddgs.engines import ENGINES
    from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException
    from ddgs.http_client import HttpClient, Response
except ImportError as error:
    raise ConfigurationError(
        "WebSearchTool needs ddgs: pip install 'langchain-assistants[search]'."
    ) from error

if TYPE_CHECKING:
    from langchain_assistants.tools.web_search import Ask

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 5
"""How long one search engine may take; ddgs asks several, one after another."""

REFUSED = (
    "The web search was refused: the search engines limit how often a program may "
    "ask. Do not repeat it now; answer without it and say that you could not search."
)
TIMED_OUT = (
    "The web search took too long. Try once more with fewer words, or answer without "
    "it and say that you could not search."
)
UNREACHABLE = (
    "The web search could not reach any search engine. Answer without it and say that "
    "you could not search."
)

# DuckDuckGo sends its riddle for robots with 202; 503 is a wall in front of others.
_REFUSALS = {202, 403, 429, 503}
_NOTHING_FOUND = "No results found."


class _ObservedDDGS(DDGS):
    """Note with which HTTP statuses the search engines answer.

    ddgs drops every answer but 200, so that a refusal looks as if nothing was found.
    Should its method be renamed one day, no status is seen and that is what is said.
    """

    def __init__(self, proxy: str | None) -> None:
        super().__init__(proxy=proxy, timeout=REQUEST_SECONDS)
        self.statuses: set[int] = set()

    def _get_engines(self, category: str, backend: str) -> list[BaseSearchEngine[Any]]:
        engines = super()._get_engines(category, backend)
        for engine in engines:
            client: Any = engine.http_client
            client.request = self._observed(client.request)
        return engines

    def _observed(self, request: Callable[..., Response]) -> Callable[..., Response]:
        @functools.wraps(request)
        def observed(*args: Any, **kwargs: Any) -> Response:
            response = request(*args, **kwargs)
            self.statuses.add(response.status_code)
            return response

        return observed


def check(backend: str, proxy: str | None) -> None:
    """Refuse what ddgs would only find out, or pass over, while it searches.

    Raises:
        ConfigurationError: An engine does not exist, or the proxy is no URL.
    """
    known = {"auto", *ENGINES["text"], *ENGINES["news"]}
    if unknown := {name.strip() for name in backend.split(",")} - known:
        raise ConfigurationError(
            f"ddgs has no search engine named {', '.join(sorted(unknown))}; backend "
            f"takes some of {', '.join(sorted(known))}."
        )
    try:
        HttpClient(proxy=proxy)
    except Exception:  # its text may hold the proxy's password
        raise ConfigurationError(
            "The proxy cannot be used; give a URL such as http://127.0.0.1:3128 or "
            "socks5h://127.0.0.1:9150."
        ) from None


def search(ask: Ask, *, proxy: str | None) -> list[dict[str, Any]]:
    """Search once, blocking, and return ddgs' results as they are.

    A search is empty only if no search engine refused it: nothing may be claimed of
    pages that nobody has looked for.

    Raises:
        ToolException: It was refused, took too long or reached nobody.
    """
    ddgs = _ObservedDDGS(proxy)
    find = ddgs.news if ask.news else ddgs.text
    try:
        return find(
            ask.query,
            region=ask.region,
            safesearch=ask.safesearch,
            timelimit=ask.time_range and ask.time_range[0],
            max_results=ask.max_results,
            backend=ask.backend,
        )
    except RatelimitException as error:
        raise ToolException(REFUSED) from error
    except TimeoutException as error:
        raise ToolException(TIMED_OUT) from error
    except Exception as error:  # ddgs reads what strangers wrote: anything may come
        if ddgs.statuses & _REFUSALS:
            raise ToolException(REFUSED) from error
        if _found_nothing(error) and (not ddgs.statuses or 200 in ddgs.statuses):
            return []
        logger.warning("web_search_failed", extra={"error": type(error).__name__})
        raise ToolException(UNREACHABLE) from error


def _found_nothing(error: Exception) -> bool:
    return isinstance(error, DDGSException) and str(error) == _NOTHING_FOUND
