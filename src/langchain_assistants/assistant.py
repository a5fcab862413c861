"""AssistantRunnable: an assistant on its threads as a LangChain runnable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, NoReturn, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.tools.convert import convert_runnable_to_tool
from pydantic import BaseModel, ConfigDict, Field

from langchain_assistants.actions import (
    AgentOutput,
    AssistantOutput,
    WireOutput,
    to_actions,
    to_ai_message,
    to_finish,
    tool_output,
)
from langchain_assistants.backends import (
    Backend,
    CallContext,
    RunOrder,
    SubmitOrder,
    backend_of,
)
from langchain_assistants.creation import CreatesAssistant, refuse_contradictions
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.errors import (
    AssistantsError,
    RunError,
    approval_required,
    run_error,
)
from langchain_assistants.notes import ChainRun, Notes
from langchain_assistants.outer_graph import OuterTask, ask_people
from langchain_assistants.run_input import (
    AssistantInput,
    ExtraKeys,
    MessagesInput,
    RunResume,
    RunStart,
    ToolInput,
    parse,
)
from langchain_assistants.settings import OnActiveRun
from langchain_assistants.structured_output import asks_for_json, parse_answer
from langchain_assistants.types.events import RunEvent
from langchain_assistants.types.html import to_html
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.records import bind
from langchain_assistants.types.runs import (
    RequiredToolCall,
    Run,
    RunCreate,
    ToolOutputs,
)
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.validation import check_id, refuse_unknown, validate


class AssistantRunnable(CreatesAssistant):
    """Run an assistant: input a message, output what the run wrote or requires.

    `invoke` waits for the run's stop and returns the new messages, or the function
    calls that the caller has to execute. With `as_agent=True` it returns an
    `AssistantFinish` or a list of `AssistantAction`, for LangChain's AgentExecutor or a
    loop of your own; with `as_message=True` one `AIMessage`, as a chat model does, so
    that it stands in a chain: `prompt | assistant | parser`.

    `stream` yields that same one item: for tokens use `stream_run`, `astream_events` or
    callbacks. Synchronous calls execute on the engine's own loop, so a caller's
    synchronous callback handlers run in that thread.

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

    engine: Any = Field(default=None, exclude=True, repr=False)
    """The engine; None: the default engine."""
    as_agent: bool = False
    as_message: bool = False
    """Return the last message, or the required calls, as one AIMessage."""
    run_tools: list[Any] = Field(default_factory=list, exclude=True, repr=False)
    """Implementations, by name, of tools that the assistant has."""
    on_active_run: OnActiveRun | None = None
    extra_keys: ExtraKeys = "error"
    answer_type: Any = Field(default=None, exclude=True, repr=False)
    """What structured answers are parsed to: a pydantic class, dataclass or TypedDict;
    None: plain JSON. `create_assistant(response_format=...)` sets it."""
    client: Any = Field(default=None, exclude=True, repr=False)
    """A client of OpenAI's SDK: its server runs the assistant, not an engine."""
    async_client: Any = Field(default=None, exclude=True, repr=False)
    """An asynchronous one, for asynchronous calls; None: `client` serves both."""
    notes: Notes = Field(default_factory=Notes, exclude=True, repr=False)
    """What it remembers between invocations; its copies share it."""

    def __init__(self, **fields: Any) -> None:
        """Bind an assistant of an engine; nothing is read or stored.

        Raises:
            ConfigurationError: Both `engine` and a client are given, or both
                `as_agent` and `as_message`; or a client is none of OpenAI's SDK.
            TypeError: A keyword is none of the runnable's, or `run_tools` is no list.
        """
        refuse_unknown(fields, type(self).model_fields)
        if isinstance(fields.get("run_tools"), bool):
            raise TypeError(
                f"run_tools=True is for {type(self).__name__}.create_assistant, which "
                "has the tools; here give them: run_tools=[tool, ...]"
            )
        refuse_contradictions(fields, type(self).__name__)
        super().__init__(**fields)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that it cannot be loaded from JSON: it holds an engine."""
        return False

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but the clients, which hold connections."""
        known = {} if memo is None else memo
        known |= {id(client): client for client in (self.client, self.async_client)}
        return super().__deepcopy__(known)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled, it holds an engine: hand over "
            f"'{self.assistant_id}' and bind it to an engine there."
        )

    def _repr_html_(self) -> str | None:
        """Show the assistant in a notebook; None: as text."""
        with contextlib.suppress(AssistantsError):
            backend = self.backend
            assistant = backend.portal.call(
                lambda: backend.retrieve_assistant(self.assistant_id)
            )
            return to_html(assistant)
        return None

    @property
    def InputType(self) -> Any:
        """The type of the input."""
        return str | AssistantInput | MessagesInput

    @property
    def OutputType(self) -> Any:
        """The type of the output, as `as_agent` and `as_message` decide."""
        if self.as_message:
            return AIMessage
        return AgentOutput if self.as_agent else WireOutput

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
            return self.backend.portal.call(
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

        A failed run is told by its event. Closing the generator cancels the run. In
        traces and for callbacks it is a run of a chain, as with `invoke`.

        Raises:
            As `invoke`, but for `RunError`.
        """
        log = EventLog(origin=self.backend.origin)
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
        backend = self.backend
        log = EventLog(origin=backend.origin)
        portal = backend.portal
        call = portal.spawn(lambda: self._tell(log, input, config, kwargs))
        try:
            yield from log.follow_blocking()
            call.future.result()
        finally:
            call.cancel()

    def as_tool(
        self,
        args_schema: type[BaseModel] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        arg_types: dict[str, type] | None = None,
    ) -> BaseTool:
        """Return a tool that asks the assistant, for other agents to call.

        Its argument is the message, `content`, and its output the text of the answer;
        each call runs on a thread of its own. Other keys of the input, such as
        `thread_key`, become arguments with `args_schema` or `arg_types`.

        Raises:
            ConfigurationError: From a call, where the run requires functions that
                nobody executes; give them in `run_tools`.
        """
        asked = self.model_copy(update={"as_agent": False, "as_message": True})
        if args_schema is None and arg_types is None:
            args_schema = ToolInput
        return convert_runnable_to_tool(
            asked | RunnableLambda(tool_output),
            args_schema,
            name=name or self.get_name(),
            description=description or "Ask an assistant.",
            arg_types=arg_types,
        )

    @property
    def backend(self) -> Backend:
        """Who runs its runs."""
        return backend_of(self.engine, self.client, self.async_client)

    def _parsed(self, given: Any, bound: Mapping[str, Any]) -> RunStart | RunResume:
        return parse(
            given,
            bound,
            as_agent=self.as_agent,
            extra_keys=self.extra_keys,
            answer_type=self.answer_type,
        )

    async def _answer(
        self,
        given: Any,
        bound: Mapping[str, Any],
        config: RunnableConfig,
        attempt: ChainRun,
        log: EventLog | None = None,
    ) -> AssistantOutput:
        parsed = self._parsed(given, bound)
        backend, task = self.backend, OuterTask.of(config)
        tools = self.notes.implementations(backend.tool_box, self.run_tools)
        context = CallContext(log, config, tools)
        if isinstance(parsed, RunResume):
            execution = await backend.submit(self._submission(parsed), context)
            execution = await self._decided(backend, execution, task, context)
            return self._output(backend, execution, parsed.answer_type)
        known = self.notes.thread_of_last(attempt)
        if known is not None:
            parsed = parsed.again_on(known)
        execution = await backend.run(self._order(parsed, task), context)
        execution = await self._decided(backend, execution, task, context)
        try:
            return self._output(backend, execution, parsed.answer_type)
        except AssistantsError:
            self.notes.note_failure(attempt, execution.run.thread_id)
            raise

    async def _tell(
        self,
        log: EventLog,
        given: Any,
        config: RunnableConfig | None,
        bound: Mapping[str, Any],
    ) -> None:
        """Run the assistant for those who listen to the log, as a run of a chain."""

        async def call(
            given: Any,
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
        ) -> Any:
            return await self._answer(given, bound, config, run_manager, log)

        try:
            with contextlib.suppress(RunError):
                await self._acall_with_config(call, given, config)
        finally:
            log.end()

    def _order(self, parsed: RunStart, task: OuterTask | None) -> RunOrder:
        """Check what a new run is asked for."""
        thread: str | dict[str, Any]
        if parsed.thread_id is not None:
            thread = check_id(parsed.thread_id, "thread_id", "thread_")
        else:
            keyed = {**parsed.thread, "key": parsed.thread_key}
            thread = validate(ThreadCreate, keyed)
        body = dict(parsed.body)
        if self.on_active_run is not None:
            body.setdefault("on_active_run", self.on_active_run)
        return RunOrder(
            thread,
            [validate(MessageCreate, message) for message in parsed.messages],
            validate(RunCreate, {"assistant_id": self.assistant_id, **body}),
            self.notes.left_runs,
            # A node that is executed again, after an interrupt or a crash, finds the
            # run of its first time.
            GraphTask(task.call_id(self.assistant_id))
            if task is not None and task.resumable
            else None,
        )

    def _submission(self, parsed: RunResume) -> SubmitOrder:
        """Check outputs for a run."""
        check_id(parsed.run_id, "run_id", "run_")
        given = {} if parsed.outputs is None else {"tool_outputs": parsed.outputs}
        outputs = validate(ToolOutputs, given)["tool_outputs"]
        thread_id = parsed.thread_id or self.notes.thread_of_run(parsed.run_id)
        return SubmitOrder(parsed.run_id, thread_id, outputs, parsed.from_agent)

    async def _decided(
        self,
        backend: Backend,
        execution: Execution,
        task: OuterTask | None,
        context: CallContext,
    ) -> Execution:
        """Let the outer graph's people decide what the run's middleware asks.

        Raises:
            ApprovalRequired: There is no outer graph that could be resumed.
        """
        self.notes.note_stop(execution.run, as_agent=self.as_agent)
        asking = task if backend.finds_tasks else None
        while (given := ask_people(execution.run, asking)) is not None:
            run = execution.run
            order = SubmitOrder(run.id, run.thread_id, given)
            execution = await backend.submit(order, context)
            self.notes.note_stop(execution.run, as_agent=self.as_agent)
        return execution

    def _output(
        self, backend: Backend, execution: Execution, answer_type: Any
    ) -> AssistantOutput:
        """Return what the run wrote or requires, in the form that was asked for."""
        run, messages = execution.run, list(execution.messages)
        if (origin := backend.origin) is not None:
            for item in (run, *messages):
                bind(item, origin)
        calls: list[RequiredToolCall] = []
        if run.status == "requires_action":
            calls = _required_calls(run)
        elif run.status != "completed":
            raise run_error(run)
        elif messages and asks_for_json(run):
            messages[-1].parsed = parse_answer(messages[-1], answer_type, run)
        if self.as_message:
            return to_ai_message(run, messages, calls)
        if self.as_agent:
            return to_actions(run, calls) if calls else to_finish(run, messages)
        return calls or messages


def _required_calls(run: Run) -> list[RequiredToolCall]:
    action = run.required_action
    if action is None or action.submit_tool_outputs is None:
        raise approval_required(run)
    return action.submit_tool_outputs.tool_calls
