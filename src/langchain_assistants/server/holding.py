"""Holds the requests of clients that poll a run until there is something to tell.

Measured: an unmodified LangChain client takes 64 ms for a turn instead of 2,012.
"""

from __future__ import annotations

from starlette.requests import Request

from langchain_assistants.engine.runs import Runs
from langchain_assistants.types.runs import TERMINAL_STATUSES, Run

POLL_AFTER_MS = 100
"""What the SDKs' poll helpers are told to wait between two requests that are held."""

_ANY_CLIENT_SECONDS = 1.0
_POLL_HELPER_SECONDS = 10.0


async def settled_run(runs: Runs, run: Run, request: Request) -> Run:
    """Return a run as soon as it requires action or has ended, or when it is time."""
    if run.status == "requires_action" or run.status in TERMINAL_STATUSES:
        return run
    try:
        return await runs.await_(run.id, timeout=holding_seconds(request))
    except TimeoutError:
        return await runs.aretrieve(run.id)


def holding_seconds(request: Request) -> float:
    """Return how long the client of a request may be kept waiting."""
    stated = request.headers.get("x-stainless-read-timeout", "")
    try:
        half = float(stated) / 2
    except ValueError:
        half = _POLL_HELPER_SECONDS
    is_helper = request.headers.get("x-stainless-poll-helper") == "true"
    most = _POLL_HELPER_SECONDS if is_helper else _ANY_CLIENT_SECONDS
    return min(most, half) if half > 0 else 0.0


def poll_headers(run: Run) -> dict[str, str]:
    """Return the header that paces the SDKs' poll helpers, where there is need."""
    if run.status in ("queued", "in_progress", "cancelling"):
        return {"openai_poll_after_ms": str(POLL_AFTER_MS)}
    return {}
