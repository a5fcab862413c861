"""Who runs a runnable's runs: an engine in this process, or a server over the wire."""

from __future__ import annotations

from typing import Any

from langchain_assistants.backends.base import (
    Backend,
    CallContext,
    RunOrder,
    Standing,
    SubmitOrder,
    ToolBox,
)
from langchain_assistants.backends.embedded import EmbeddedBackend
from langchain_assistants.engine.default import default_engine

__all__ = [
    "Backend",
    "CallContext",
    "RunOrder",
    "Standing",
    "SubmitOrder",
    "ToolBox",
    "backend_of",
]


def backend_of(
    engine: Any, client: Any, async_client: Any, *, poll_seconds: float = 1.0
) -> Backend:
    """Return who runs the runs of a runnable with these fields.

    Args:
        engine: An engine; None, with no client either: the default engine.
        client: A client of OpenAI's SDK, of either kind.
        async_client: An asynchronous one, for asynchronous calls.
        poll_seconds: How often a run is looked at on a server that does not stream.

    Raises:
        ConfigurationError: A client is not one of OpenAI's SDK.
    """
    if client is None and async_client is None:
        return EmbeddedBackend(engine or default_engine())
    # Only here: it needs the extra `openai`.
    from langchain_assistants.backends.wire.backend import WireBackend

    return WireBackend.of(client, async_client, poll_seconds)
