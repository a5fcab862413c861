"""Tokens of a run as messages of LangGraph's streams."""

from __future__ import annotations

import contextvars
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import push_message
from langgraph.pregel._messages import StreamMessagesHandler, StreamMessagesHandlerV2

from langchain_assistants.engine.events import EventData, EventLog
from langchain_assistants.types.events import EventName


class TokenStream(EventLog):
    """Hears a run and passes its tokens on; it keeps nothing.

    LangGraph's own handler would tell what the graph inside the engine says: under
    other ids than the thread's, and each answer twice.
    """

    def __init__(self) -> None:
        """Take the task of the node that is being executed."""
        super().__init__()
        self._context = contextvars.copy_context()
        self._answer_id: str | None = None

    @classmethod
    def of(cls, config: RunnableConfig) -> TokenStream | None:
        """Return a stream if anybody listens to this graph's messages."""
        handlers = _handlers(config)
        # The second version takes whole messages; the node's update has them.
        plain = any(not isinstance(h, StreamMessagesHandlerV2) for h in handlers)
        return cls() if plain else None

    def emit(self, event: EventName, data: EventData) -> None:
        """Pass a piece of the answer on."""
        if event == "thread.message.delta":
            delta: Any = data() if callable(data) else data
            self._answer_id = delta.id
            for part in delta.delta.content or ():
                if part.type == "text" and part.text.value:
                    self._push(AIMessageChunk(content=part.text.value, id=delta.id))
        elif event == "thread.run.step.delta":
            delta = data() if callable(data) else data
            answer_id = self._answer_id or delta.id
            details = delta.delta.step_details
            for call in getattr(details, "tool_calls", None) or ():
                if call.type == "function":
                    self._push(_call_chunk(answer_id, call))
        elif event == "thread.run.step.completed":
            step: Any = data() if callable(data) else data
            if step.type == "tool_calls":
                self._answer_id = None  # what follows is another answer

    def _push(self, chunk: AIMessageChunk) -> None:
        self._context.run(push_message, chunk, state_key=None)


def _call_chunk(answer_id: str, call: Any) -> AIMessageChunk:
    piece = tool_call_chunk(
        name=call.function.name,
        args=call.function.arguments,
        id=call.id,
        index=call.index,
    )
    return AIMessageChunk(content="", id=answer_id, tool_call_chunks=[piece])


def without_streams(config: RunnableConfig) -> RunnableConfig:
    """Return the config without the handlers of the graph's own message streams."""
    own = _handlers(config)
    manager = config.get("callbacks")
    if not own or not isinstance(manager, BaseCallbackManager):
        return config
    kept = manager.copy()
    for handler in own:
        kept.remove_handler(handler)
    return {**config, "callbacks": kept}


def _handlers(config: RunnableConfig) -> list[StreamMessagesHandler]:
    manager = config.get("callbacks")
    handlers = manager.handlers if isinstance(manager, BaseCallbackManager) else manager
    return [h for h in handlers or () if isinstance(h, StreamMessagesHandler)]
