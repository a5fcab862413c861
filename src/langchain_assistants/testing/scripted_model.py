"""A chat model that answers from a script, and says when the script was wrong.

It imitates how models answer, stream, stall and fail; it does not judge prompts.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Self, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, PrivateAttr, SecretStr

from langchain_assistants.testing.script import (
    ModelCall,
    Reply,
    Responder,
    Script,
    Step,
    UnconsumedSteps,
)

_AT_ONCE = Reply()
_SIGNAL_POLL_SECONDS = 0.001
_WORD = re.compile(r"\s*\S+\s*|\s+")


class ScriptedChatModel(BaseChatModel):
    """Answer from a list of steps, or from a function without end.

    A step is a text, an `AIMessage`, a `Reply`, an exception to raise, or a function
    of the messages and the `ModelCall` that returns a step. Copies and bindings of
    the model share its script and its record of calls; any thread may call it.

    Used as a context manager it fails when steps are left, or when it was asked for
    more than it had, even if that error was swallowed on the way.

    Example:
        ```python
        from langchain_assistants.testing import Reply, ScriptedChatModel, call

        adds = Reply(tool_calls=[call("add", {"a": 1, "b": 2})])
        with ScriptedChatModel([adds, "It is 3."]) as model:
            assert model.invoke("1 + 2?").tool_calls[0]["name"] == "add"
            assert model.invoke("Well?").content == "It is 3."
        assert model.calls[1].messages[-1].content == "Well?"
        ```

    Warning:
        Each call's messages are kept in `calls`: give `record=False` to a model that
        runs for long.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = "scripted"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    max_retries: int | None = None
    api_key: SecretStr | None = None
    streaming: bool = False
    supports_tools: bool = True
    delay: float = 0.0
    token_delay: float = 0.0
    chunk_words: int = 1
    record: bool = True

    _script: Script = PrivateAttr()

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        respond: Responder | None = None,
        **fields: Any,
    ) -> None:
        """Take the script.

        Args:
            steps: Answered in order, one per call.
            respond: Answers every call after the steps, without end.
            **fields: The model's own fields: `model`, settings such as
                `temperature`, `profile`, `delay` (seconds before a first token),
                `token_delay` (seconds between chunks of a stream), `chunk_words`,
                `supports_tools` (False: `bind_tools` raises NotImplementedError)
                and `record`.
        """
        super().__init__(**fields)
        self._script = Script(steps, respond)

    @property
    def calls(self) -> list[ModelCall]:
        """The calls so far, in order, over all copies of this model."""
        return self._script.calls

    def assert_consumed(self) -> None:
        """Check that the script was used up, and not more than that.

        Raises:
            UnexpectedModelCall: The model was asked for more than it had.
            UnconsumedSteps: Steps are left.
        """
        if self._script.unexpected is not None:
            raise self._script.unexpected
        if left := self._script.left:
            msg = (
                f"{len(left)} of {len(self._script.steps)} steps were never asked "
                f"for; the next one is {left[0]!r}."
            )
            raise UnconsumedSteps(msg)

    def __enter__(self) -> Self:
        """Return the model; leaving checks `assert_consumed`."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Check that the script was used up, unless an error is on its way."""
        if exc is None:
            self.assert_consumed()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind the tools in OpenAI's form; everything else is bound as given.

        Raises:
            NotImplementedError: The model was made with `supports_tools=False`.
        """
        if not self.supports_tools:
            msg = f"The model {self.model} cannot call tools."
            raise NotImplementedError(msg)
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        offered = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        return self.bind(tools=offered, **kwargs)

    def get_num_tokens(self, text: str) -> int:
        """Count four characters as one token."""
        return _tokens(len(text))

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count tokens as the reported usage does; tools cost nothing."""
        return _prompt_tokens(messages)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, **self._settings()}

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "scripted"
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message, reply = self._answer(messages, stop, kwargs, streaming=False)
        self._pause(reply)
        return _result(message, reply)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message, reply = self._answer(messages, stop, kwargs, streaming=False)
        await self._apause(reply)
        return _result(message, reply)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message, reply = self._answer(messages, stop, kwargs, streaming=True)
        self._pause(reply)
        for position, chunk in enumerate(self._cut(message, reply)):
            if position and self.token_delay:
                time.sleep(self.token_delay)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        message, reply = self._answer(messages, stop, kwargs, streaming=True)
        await self._apause(reply)
        for position, chunk in enumerate(self._cut(message, reply)):
            if position and self.token_delay:
                await asyncio.sleep(self.token_delay)
            yield chunk

    def _answer(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        streaming: bool,
    ) -> tuple[AIMessage, Reply]:
        """Take the next step; return its message and how that arrives."""
        asked = self._asked(messages, stop, kwargs, streaming=streaming)
        step = self._script.take(asked, record=self.record)
        while callable(step):
            step = step(messages, asked)
        if isinstance(step, BaseException):
            step = Reply(error=step)
        elif isinstance(step, str):
            step = Reply(text=step)
        if isinstance(step, Reply):
            return self._finish(_message(step), messages, step.usage), step
        message = cast(AIMessage, message_chunk_to_message(step)).model_copy()
        return self._finish(message, messages, message.usage_metadata), _AT_ONCE

    def _asked(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        streaming: bool,
    ) -> ModelCall:
        settings = {**self._settings(), **kwargs}
        if stop is not None:
            settings["stop"] = stop
        return ModelCall(
            messages=list(messages),
            tools=settings.pop("tools", None) or [],
            tool_choice=settings.pop("tool_choice", None),
            parallel_tool_calls=settings.pop("parallel_tool_calls", None),
            response_format=settings.pop("response_format", None),
            settings=settings,
            streaming=streaming,
        )

    def _settings(self) -> dict[str, Any]:
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _finish(
        self,
        message: AIMessage,
        prompt: list[BaseMessage],
        usage: Mapping[str, Any] | UsageMetadata | None,
    ) -> AIMessage:
        """Give the message its call ids, its usage and the model's name."""
        calls, invalid = message.tool_calls, message.invalid_tool_calls
        if calls or invalid:
            given = [one["id"] for one in calls] + [one["id"] for one in invalid]
            ids = iter(self._script.call_ids(given, prompt))
            message.tool_calls = [{**one, "id": next(ids)} for one in calls]
            message.invalid_tool_calls = [{**one, "id": next(ids)} for one in invalid]
        message.usage_metadata = _usage(message, prompt, usage)
        message.response_metadata = {
            "finish_reason": "tool_calls" if calls or invalid else "stop",
            "model_name": self.model,
            **message.response_metadata,
        }
        return message

    def _cut(self, message: AIMessage, reply: Reply) -> Iterator[ChatGenerationChunk]:
        """Cut a message into the chunks a provider would stream."""
        for content in _pieces(message.content, self.chunk_words):
            yield ChatGenerationChunk(message=AIMessageChunk(content=content))
        for piece in _call_pieces(message):
            yield ChatGenerationChunk(
                message=AIMessageChunk(content="", tool_call_chunks=[piece])
            )
        if reply.error is not None:
            raise reply.error
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="" if isinstance(message.content, str) else [],
                id=message.id,
                additional_kwargs=message.additional_kwargs,
                response_metadata=message.response_metadata,
                usage_metadata=message.usage_metadata,
                chunk_position="last",
            )
        )

    def _pause(self, reply: Reply) -> None:
        for seconds in _pauses(reply):
            time.sleep(seconds)
        if delay := reply.delay or self.delay:
            time.sleep(delay)

    async def _apause(self, reply: Reply) -> None:
        for seconds in _pauses(reply):
            await asyncio.sleep(seconds)
        if delay := reply.delay or self.delay:
            await asyncio.sleep(delay)


def _pauses(reply: Reply) -> Iterator[float]:
    """Yield short pauses until the reply's event is set.

    The event is polled, not awaited: it may belong to the event loop of another
    thread, where waiting on it would never return.
    """
    while reply.wait_for is not None and not reply.wait_for.is_set():
        yield _SIGNAL_POLL_SECONDS


def _message(reply: Reply) -> AIMessage:
    message = AIMessage(
        content=reply.text,
        tool_calls=list(reply.tool_calls),
        invalid_tool_calls=list(reply.malformed),
    )
    if reply.refusal is not None:
        message.additional_kwargs["refusal"] = reply.refusal
    if reply.finish_reason is not None:
        message.response_metadata["finish_reason"] = reply.finish_reason
    return message


def _result(message: AIMessage, reply: Reply) -> ChatResult:
    if reply.error is not None:
        raise reply.error
    return ChatResult(generations=[ChatGeneration(message=message)])


def _pieces(
    content: str | list[str | dict[str, Any]], words: int
) -> Iterator[str | list[str | dict[str, Any]]]:
    if not isinstance(content, str):
        yield from ([block] for block in content)
        return
    tokens = _WORD.findall(content)
    for start in range(0, len(tokens), words):
        yield "".join(tokens[start : start + words])


def _call_pieces(message: AIMessage) -> Iterator[ToolCallChunk]:
    """Yield each call in two pieces, the first with its name and id."""
    raw = [
        (one["name"], json.dumps(one["args"]), one["id"]) for one in message.tool_calls
    ] + [
        (one["name"] or "", one["args"] or "", one["id"])
        for one in message.invalid_tool_calls
    ]
    for index, (name, args, call_id) in enumerate(raw):
        half = (len(args) + 1) // 2
        yield tool_call_chunk(name=name, args=args[:half], id=call_id, index=index)
        yield tool_call_chunk(args=args[half:], index=index)


def _tokens(characters: int) -> int:
    return (characters + 3) // 4


def _prompt_tokens(messages: Iterable[BaseMessage]) -> int:
    """Count four characters as a token, and three tokens for each message's frame."""
    return sum(3 + _tokens(_size(message)) for message in messages)


def _size(message: BaseMessage) -> int:
    content = message.content
    size = len(content) if isinstance(content, str) else len(message.text)
    if isinstance(message, AIMessage):
        for made in (*message.tool_calls, *message.invalid_tool_calls):
            size += len(made["name"] or "") + len(str(made["args"]))
    return size


def _usage(
    message: AIMessage,
    prompt: list[BaseMessage],
    given: Mapping[str, Any] | UsageMetadata | None,
) -> UsageMetadata | None:
    if given is None:
        given = {
            "input_tokens": _prompt_tokens(prompt),
            "output_tokens": _tokens(_size(message)),
        }
    if not given:
        return None
    total = given["input_tokens"] + given["output_tokens"]
    return cast(UsageMetadata, {"total_tokens": total, **given})
