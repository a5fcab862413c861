"""Tells LangChain's callbacks of the texts that a model writes on a server."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config

from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import EventName, MessageDelta
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep


class TokenCallbacks:
    """Makes each message that a run writes a run of a chat model.

    What the model was asked is not known here, and answers that only call tools write
    no message.
    """

    def __init__(self) -> None:
        """Begin without a message."""
        self._told: AsyncCallbackManagerForLLMRun | None = None
        self._message: Message | None = None
        self._text = ""

    @property
    def told(self) -> bool:
        """Whether callbacks wait for the rest of a text."""
        return self._told is not None

    async def take(
        self, name: EventName, data: WireObject, run: Run | None, config: RunnableConfig
    ) -> None:
        """Tell the callbacks of a config of an event, if it is part of a text."""
        if name == "thread.message.created" and isinstance(data, Message):
            await self._begin(data, run, config)
        elif isinstance(data, MessageDelta):
            await self._go_on(data)
        elif isinstance(data, Message):
            self._message = data
        elif (
            isinstance(data, RunStep)
            and name == "thread.run.step.completed"
            and data.type == "message_creation"
        ):
            await self.end(data)

    async def end(self, step: RunStep | None = None) -> None:
        """Tell the end of a message, with what its step used."""
        told, self._told = self._told, None
        if told is None or self._message is None:
            return
        usage = None if step is None else step.usage
        counted = (
            None
            if usage is None
            else UsageMetadata(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                total_tokens=usage.total_tokens,
            )
        )
        answer = AIMessage(
            self._message.text or self._text,
            id=self._message.id,
            usage_metadata=counted,
        )
        await told.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]))

    async def _begin(
        self, message: Message, run: Run | None, config: RunnableConfig
    ) -> None:
        await self.end()
        self._message, self._text = message, ""
        manager = get_async_callback_manager_for_config(config)
        if not manager.handlers:
            return
        model = "" if run is None else run.model
        params: dict[str, Any] = {"model": model}
        (self._told,) = await manager.on_chat_model_start(
            {}, [[]], invocation_params=params, name="assistant_message"
        )

    async def _go_on(self, delta: MessageDelta) -> None:
        if self._told is None or not delta.text:
            return
        self._text += delta.text
        chunk = ChatGenerationChunk(
            message=AIMessageChunk(content=delta.text, id=delta.id)
        )
        await self._told.on_llm_new_token(delta.text, chunk=chunk)
