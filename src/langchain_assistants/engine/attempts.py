"""Asking the model: again after a transient error, and heard while it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
)
from langchain.agents.middleware._retry import calculate_delay
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langgraph.errors import GraphBubbleUp
from langgraph.types import TracePolicy, omit_payload

from langchain_assistants.engine.provider_errors import is_transient, retry_after
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.settings import Settings

if TYPE_CHECKING:
    from langchain_assistants.engine.run_graph import RunContext

ModelHandler: TypeAlias = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


class Attempts:
    """Asks the model up to 1 + model_retries times, as late as the provider wants.

    LangChain's ModelRetryMiddleware does not know Retry-After; the back-off is its.
    An answer that a listener has begun to hear is not begun again.
    """

    def __init__(self, settings: Settings) -> None:
        """Take attempts and delays from the settings."""
        self._settings = settings

    async def ask(
        self, request: ModelRequest[RunContext], handler: ModelHandler
    ) -> ModelResponse[Any]:
        """Return the answer of the first attempt that succeeds.

        Raises:
            Exception: The provider's, of the last attempt.
        """
        settings = self._settings
        recorder = request.runtime.context.recorder
        for attempt in range(settings.model_retries):
            try:
                return await _ask_once(request, handler, recorder)
            except Exception as error:
                asked = retry_after(error) or 0.0
                if (
                    isinstance(error, GraphBubbleUp)
                    or not is_transient(error)
                    or recorder.heard
                    or asked > settings.max_retry_delay
                ):
                    raise
                delay = calculate_delay(
                    attempt,
                    backoff_factor=2.0,
                    initial_delay=settings.retry_delay,
                    max_delay=settings.max_retry_delay,
                    jitter=True,
                )
                await asyncio.sleep(max(asked, delay))
        return await _ask_once(request, handler, recorder)


class AttemptsMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Attempts as the innermost middleware, where the user has some around it."""

    trace_policy = TracePolicy(
        process_inputs=omit_payload, process_outputs=omit_payload
    )

    def __init__(self, attempts: Attempts) -> None:
        """Take the attempts."""
        super().__init__()
        self._attempts = attempts

    def awrap_model_call(
        self, request: ModelRequest[Any], handler: ModelHandler
    ) -> Coroutine[Any, Any, ModelResponse[Any]]:
        """Ask the model."""
        return self._attempts.ask(request, handler)


async def _ask_once(
    request: ModelRequest[RunContext], handler: ModelHandler, recorder: RunRecorder
) -> ModelResponse[Any]:
    """Ask the model, and let the recorder hear it if anybody listens.

    The handler sits on this very call: one on the graph would hear every model that a
    tool or a middleware asks too.
    """
    recorder.begin_turn()
    if not recorder.listening:
        return await handler(request)
    own = request.model.callbacks
    handlers = own if isinstance(own, list) else []
    heard = request.model.model_copy(
        update={"callbacks": [*handlers, _ChunkHandler(recorder)]}
    )
    return await handler(request.override(model=heard))


class _ChunkHandler(AsyncCallbackHandler, _StreamingCallbackHandler[Any]):
    """Passes chunks on; being a streaming handler makes the model stream."""

    run_inline = True

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder

    async def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        **_: Any,
    ) -> None:
        if isinstance(chunk, ChatGenerationChunk):
            message = chunk.message
            if isinstance(message, AIMessageChunk):
                self._recorder.hear(message)

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        """Leave the output as it is (required of streaming handlers)."""
        return output

    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        """Leave the output as it is (required of streaming handlers)."""
        return output
