"""AssistantRunnable: an assistant on its threads as a LangChain runnable."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Self, TypeAlias

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import Unpack

from langchain_assistants.actions import (
    AssistantAction,
    AssistantFinish,
    asks_for_json,
    parse_answer,
    to_actions,
    to_finish,
)
from langchain_assistants.engine.conductor import RunRequest
from langchain_assistants.engine.default import default_engine
from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.toolset import Implementations, tools_to_run
from langchain_assistants.errors import (
    AssistantsError,
    NotFoundError,
    approval_required,
    not_available,
    run_error,
)
from langchain_assistants.run_input import (
    AssistantInput,
    ExtraKeys,
    RunResume,
    RunStart,
    parse,
    to_wire_tool,
)
from langchain_assistants.settings import OnActiveRun
from langchain_assistants.types.assistants import AssistantOptions
from langchain_assistants.types.events import RunEvent
from langchain_assistants.types.messages import Message, MessageCreate
from langchain_assistants.types.runs import (
    RequiredToolCall,
    Run,
    RunCreate,
    ToolOutputs,
)
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.validation import check_id, refuse_unknown, validate

AssistantOutput: TypeAlias = (
    list[AssistantAction] | AssistantFinish | list[Message] | list[RequiredToolCall]
)
_RETRY_TAG = "retry:attempt:"
_REMEMBERED_ATTEMPTS = 256


class AssistantRunnableOptions(AssistantOptions, total=False):
    """Keywords of `create_assistant` besides the assistant's further fields.

    Attributes:
        engine: The engine; None: the default engine.
        client: Comes with a later version.
        as_agent: Return agent actions and finishes.
        run_tools: True: execute the given tools; or the implementations to execute.
        on_active_run: What to do on a thread that another run holds.
        extra_keys: What to do with unknown keys of the input.
    """

    engine: AssistantsEngine | None
    client: Any
    as_agent: bool
    run_tools: bool | Sequence[Any]
    on_active_run: OnActiveRun | None
    extra_keys: ExtraKeys


class AssistantRunnable(RunnableSerializable[Any, Any]):
    """Run an assistant: input a message, output what the run wrote or requires.

    `invoke` waits for the run's stop. With `as_agent=False` it returns the new
    messages, or the function calls that the caller has to execute; with `as_agent=True`
    an `AssistantFinish` or a list of `AssistantAction`, for LangChain's AgentExecutor
    or a loop of your own. `stream` yields that same one item: for tokens use
    `stream_run`, `astream_events` or callbacks. Synchronous calls execute on the
    engine's own loop, so a caller's synchronous callback handlers run in that thread.

    Example:
        >>> from langchain_assistants import AssistantRunnable, AssistantsEngine
        >>> from langchain_assistants.testing import ScriptedChatModel
        >>> engine = AssistantsEngine(
        ...     "sqlite:///:memory:", chat_model=ScriptedChatModel(["4."])
        ... )
        >>> tutor = AssistantRunnable.create_assistant(
        ...     "Tutor", "You teach arithmetic.", [], "scripted", engine=engine
        ... )
        >>> [message.text for message in tutor.invoke("What is 2 + 2?")]
        ['4.']
        >>> engine.close()
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    assistant_id: str
    engine: Any = Field(default=None, exclude=True, repr=False)
    """The engine; None: the default engine."""
    as_agent: bool = False
    run_tools: list[Any] = Field(default_factory=list, exclude=True, repr=False)
    """Implementations, by name, of tools that the assistant has."""
    on_active_run: OnActiveRun | None = None
    extra_keys: ExtraKeys = "error"
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)

    _implementations: Implementations | None = PrivateAttr(default=None)
    # Runs left in `requires_action` by an agent loop, by thread (AgentExecutor that
    # stops at max_iterations calls nobody).
    _left: dict[str, str] = PrivateAttr(default_factory=dict)
    # Threads of failed attempts under `with_retry`, by the retry's run.
    _attempts: OrderedDict[Any, str] = PrivateAttr(default_factory=OrderedDict)

    def __init__(self, **fields: Any) -> None:
        """Bind an assistant of an engine; nothing is read or stored.

        Raises:
            ConfigurationError: `client` is given: it comes with a later version.
            TypeError: A keyword is none of the runnable's.
        """
        refuse_unknown(fields, type(self).model_fields)
        if fields.get("client") is not None or fields.get("async_client") is not None:
            raise not_available(f"{type(self).__name__}(client=...)")
        super().__init__(**fields)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that it cannot be loaded from JSON: it holds an engine."""
        return False

    @property
    def InputType(self) -> Any:
        """The type of the input."""
        return str | AssistantInput | list[Any]

    @property
    def OutputType(self) -> Any:
        """The type of the output."""
        return AssistantOutput

    # Making one.

    @classmethod
    async def acreate_assistant(
        cls,
        name: str,
        instructions: str,
        tools: Sequence[Any],
        model: str,
        **options: Unpack[AssistantRunnableOptions],
    ) -> Self:
        """Store a new assistant and return it as a runnable.

        Args:
            name: Its name.
            instructions: Its system prompt.
            tools: LangChain tools, functions, pydantic classes or dicts. They are
                schemas: calls come back to the caller, unless `run_tools` says so.
            model: A model name, such as `"openai:gpt-4o"`.
            **options: See `AssistantRunnableOptions`.

        Raises:
            InvalidRequestError: A field breaks a rule.
            ConfigurationError: A tool to execute is only a schema.
        """
        content, bound = cls._split(name, instructions, tools, model, options)
        assistant = await bound["engine"].assistants.acreate(**content)
        return cls(assistant_id=assistant.id, **bound)

    @classmethod
    def create_assistant(
        cls,
        name: str,
        instructions: str,
        tools: Sequence[Any],
        model: str,
        **options: Unpack[AssistantRunnableOptions],
    ) -> Self:
        """Store a new assistant and return it; see `acreate_assistant`."""
        content, bound = cls._split(name, instructions, tools, model, options)
        assistant = bound["engine"].assistants.create(**content)
        return cls(assistant_id=assistant.id, **bound)

    @classmethod
    async def aget_or_create_assistant(
        cls,
        name: str,
        instructions: str,
        tools: Sequence[Any],
        model: str,
        **options: Unpack[AssistantRunnableOptions],
    ) -> Self:
        """Return the assistant with this name and content, or store it.

        For notebook cells that are run again; it never updates an assistant. The
        arguments are those of `acreate_assistant`.
        """
        content, bound = cls._split(name, instructions, tools, model, options)
        assistant = await bound["engine"].assistants.aget_or_create(**content)
        return cls(assistant_id=assistant.id, **bound)

    @classmethod
    def get_or_create_assistant(
        cls,
        name: str,
        instructions: str,
        tools: Sequence[Any],
        model: str,
        **options: Unpack[AssistantRunnableOptions],
    ) -> Self:
        """Return or store an assistant; see `aget_or_create_assistant`."""
        content, bound = cls._split(name, instructions, tools, model, options)
        assistant = bound["engine"].assistants.get_or_create(**content)
        return cls(assistant_id=assistant.id, **bound)

    @classmethod
    def _split(
        cls,
        name: str,
        instructions: str,
        tools: Sequence[Any],
        model: str,
        options: AssistantRunnableOptions,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the assistant's content, and what is bound to the runnable."""
        bound = {
            key: value for key, value in options.items() if key in cls.model_fields
        }
        content = {key: value for key, value in options.items() if key not in bound}
        for name_ in ("client", "async_client"):
            if bound.pop(name_, None) is not None:
                raise not_available(f"{cls.__name__}.create_assistant({name_}=...)")
        run_tools: Any = bound.get("run_tools", False)
        bound["run_tools"] = tools_to_run(tools, run_tools)
        bound["engine"] = bound.get("engine") or default_engine()
        content |= {
            "name": name,
            "instructions": instructions,
            "tools": [to_wire_tool(tool) for tool in tools],
            "model": model,
        }
        return content, bound

    # Running it.

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Run the assistant until it stops, and return what it wrote or requires.

        Raises:
            RunError: The run failed, expired, was cancelled or used up a budget; the
                error carries `.run`.
            ActiveRunError: Another run is active on the thread.
            InvalidRequestError: A value breaks a rule of the Assistants API.
            TypeError: The input has an unknown key.
        """

        def call(
            given: Any, run_manager: CallbackManagerForChainRun, config: RunnableConfig
        ) -> Any:
            return self._engine.portal.call(
                lambda: self._answer(given, kwargs, config, run_manager)
            )

        return self._call_with_config(call, input, config)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Run the assistant on the caller's loop; see `invoke`."""

        async def call(
            given: Any,
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
        ) -> Any:
            return await self._answer(given, kwargs, config, run_manager)

        return await self._acall_with_config(call, input, config)

    async def astream_run(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncGenerator[RunEvent, None]:
        """Run the assistant and yield the run's events as they happen.

        A failed run is told by its event. Closing the generator cancels the run.

        Raises:
            As `invoke`, but for `RunError`.
        """
        log = EventLog()
        task = asyncio.create_task(self._tell(log, input, config, kwargs))
        try:
            async for event in log.follow():
                yield event
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def stream_run(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Generator[RunEvent, None, None]:
        """Run the assistant and yield the run's events; see `astream_run`."""
        log = EventLog()
        call = self._engine.portal.spawn(lambda: self._tell(log, input, config, kwargs))
        try:
            yield from log.follow_blocking()
            call.future.result()
        finally:
            call.cancel()

    async def _tell(
        self,
        log: EventLog,
        given: Any,
        config: RunnableConfig | None,
        bound: Mapping[str, Any],
    ) -> None:
        """Run the assistant for those who listen to the log."""
        try:
            parsed = self._parsed(given, bound)
            await self._execute(parsed, log, ensure_config(config))
        finally:
            log.end()

    @property
    def _engine(self) -> AssistantsEngine:
        engine: AssistantsEngine = self.engine or default_engine()
        return engine

    def _parsed(self, given: Any, bound: Mapping[str, Any]) -> RunStart | RunResume:
        return parse(given, bound, as_agent=self.as_agent, extra_keys=self.extra_keys)

    async def _answer(
        self,
        given: Any,
        bound: Mapping[str, Any],
        config: RunnableConfig,
        manager: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun,
    ) -> AssistantOutput:
        parsed = self._parsed(given, bound)
        attempt = manager.parent_run_id
        if isinstance(parsed, RunStart) and attempt is not None:
            again = any(tag.startswith(_RETRY_TAG) for tag in manager.tags)
            known = self._attempts.get(attempt) if again else None
            if known is not None:
                # The first attempt has stored the message already: run on it again.
                parsed = parsed._replace(
                    thread_id=known,
                    messages=[],
                    body={
                        name: value
                        for name, value in parsed.body.items()
                        if name != "additional_messages"
                    },
                )
        execution = await self._execute(parsed, None, config)
        run = execution.run
        try:
            if run.status not in ("completed", "requires_action"):
                raise run_error(run)
            return self._output(execution, parsed.answer_type)
        except AssistantsError:
            if isinstance(parsed, RunStart) and attempt is not None:
                self._attempts[attempt] = run.thread_id
                while len(self._attempts) > _REMEMBERED_ATTEMPTS:
                    self._attempts.popitem(last=False)
            raise

    async def _execute(
        self,
        parsed: RunStart | RunResume,
        log: EventLog | None,
        config: RunnableConfig,
    ) -> Execution:
        """Create or resume the run, and execute it in this context."""
        if isinstance(parsed, RunResume):
            return await self._resume(parsed, log, config)
        engine = self._engine
        thread_id = parsed.thread_id
        if thread_id is not None:
            check_id(thread_id, "thread_id", "thread_")
        body = dict(parsed.body)
        if self.on_active_run is not None:
            body.setdefault("on_active_run", self.on_active_run)
        body = validate(RunCreate, {"assistant_id": self.assistant_id, **body})
        messages = [validate(MessageCreate, message) for message in parsed.messages]
        request = RunRequest(
            engine.threads.tenant,
            thread_id or self._new_thread(parsed, messages),
            body,
            # Messages of a new thread without a key are part of its insertion.
            messages if thread_id or parsed.thread_key else (),
            frozenset(self._left.values()),
        )
        execution = await engine.conductor.run(
            request, log=log, config=config, tools=self._tools()
        )
        self._note_left_run(execution.run)
        return execution

    def _new_thread(
        self, parsed: RunStart, messages: Sequence[Mapping[str, Any]]
    ) -> Any:
        key = parsed.thread_key
        body = validate(ThreadCreate, {**parsed.thread, "key": key})
        if key is None:
            body["messages"] = messages
        return self._engine.threads.new(body)

    async def _resume(
        self, parsed: RunResume, log: EventLog | None, config: RunnableConfig
    ) -> Execution:
        check_id(parsed.run_id, "run_id", "run_")
        given = {} if parsed.outputs is None else {"tool_outputs": parsed.outputs}
        outputs = validate(ToolOutputs, given)["tool_outputs"]
        engine = self._engine
        row = await engine.conductor.look(parsed.run_id, engine.threads.tenant)
        if parsed.thread_id is not None and row["thread_id"] != parsed.thread_id:
            raise NotFoundError.for_id("run", parsed.run_id)
        if parsed.from_agent:
            # AgentExecutor hands over the steps of all rounds: only open calls count.
            action = json.loads(row["required_action"] or "{}")
            open_calls = action.get("interrupts", {})
            outputs = [o for o in outputs if o["tool_call_id"] in open_calls]
        execution = await engine.conductor.resume(
            parsed.run_id,
            engine.threads.tenant,
            outputs,
            log=log,
            config=config,
            tools=self._tools(),
        )
        self._note_left_run(execution.run)
        return execution

    def _tools(self) -> Implementations | None:
        if not self.run_tools:
            return None
        if self._implementations is None:
            self._implementations = self._engine.implementations(self.run_tools)
        return self._implementations

    def _note_left_run(self, run: Run) -> None:
        if self.as_agent and run.status == "requires_action":
            self._left[run.thread_id] = run.id
        else:
            self._left.pop(run.thread_id, None)

    def _output(self, execution: Execution, answer_type: Any) -> AssistantOutput:
        run = execution.run
        if run.status == "requires_action":
            action = run.required_action
            if action is None or action.submit_tool_outputs is None:
                raise approval_required(run)
            calls = action.submit_tool_outputs.tool_calls
            return to_actions(run, calls) if self.as_agent else calls
        messages = list(execution.messages)
        parsed = None
        if messages and (answer_type is not None or asks_for_json(run)):
            parsed = messages[-1].parsed = parse_answer(messages[-1], answer_type, run)
        if not self.as_agent:
            return messages
        return to_finish(run, messages, parsed)
