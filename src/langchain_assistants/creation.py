"""How a runnable's assistant is created; not how it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from langchain_core.runnables import RunnableSerializable
from typing_extensions import Unpack

from langchain_assistants.backends import Backend, backend_of
from langchain_assistants.engine.default import default_engine
from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.toolset import tools_to_run
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.run_input import ExtraKeys, to_wire_tool
from langchain_assistants.settings import OnActiveRun
from langchain_assistants.structured_output import to_answer_type, to_wire_format
from langchain_assistants.types.assistants import Assistant, AssistantOptions
from langchain_assistants.types.tools import ResponseFormat
from langchain_assistants.types.validation import refuse_unknown


class AssistantRunnableOptions(AssistantOptions, total=False):
    """Keywords of `create_assistant` besides the assistant's further fields.

    Attributes:
        response_format: As on the wire, or a pydantic class, dataclass, TypedDict or
            JSON schema: the runnable parses answers accordingly.
        engine: The engine; None: the default engine.
        client: A client of OpenAI's SDK, whose server is used instead of an engine.
        async_client: An asynchronous one, for asynchronous calls.
        as_agent: Return agent actions and finishes.
        as_message: Return one AIMessage, as a chat model does.
        run_tools: True: execute the given tools; or the implementations to execute.
        on_active_run: What to do on a thread that another run holds.
        extra_keys: What to do with unknown keys of the input.
    """

    response_format: ResponseFormat | Mapping[str, Any] | type[Any] | None
    engine: AssistantsEngine | None
    client: Any
    async_client: Any
    as_agent: bool
    as_message: bool
    run_tools: bool | Sequence[Any]
    on_active_run: OnActiveRun | None
    extra_keys: ExtraKeys


_OPTIONS = AssistantRunnableOptions.__annotations__
# Fields of the runnable that follow from the other arguments.
_DERIVED = frozenset({"answer_type", "assistant_id", "name", "notes"})


class CreatesAssistant(RunnableSerializable[Any, Any]):
    """A runnable whose assistant its class methods store."""

    assistant_id: str

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
            ConfigurationError: A tool to execute is only a schema; or options
                contradict each other.
            TypeError: An option is unknown.
        """
        made = _divide(cls, options, name, instructions, tools, model)
        assistant = await made.backend.create_assistant(made.content, reuse=False)
        return cls(assistant_id=assistant.id, **made.bound)

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
        made = _divide(cls, options, name, instructions, tools, model)
        assistant = made.stored(reuse=False)
        return cls(assistant_id=assistant.id, **made.bound)

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
        made = _divide(cls, options, name, instructions, tools, model)
        assistant = await made.backend.create_assistant(made.content, reuse=True)
        return cls(assistant_id=assistant.id, **made.bound)

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
        made = _divide(cls, options, name, instructions, tools, model)
        assistant = made.stored(reuse=True)
        return cls(assistant_id=assistant.id, **made.bound)


class _Creation(NamedTuple):
    """An assistant to store, and the fields of the runnable that speaks for it."""

    backend: Backend
    content: dict[str, Any]
    bound: dict[str, Any]

    def stored(self, *, reuse: bool) -> Assistant:
        """Store the assistant, blocking."""
        return self.backend.portal.call(
            lambda: self.backend.create_assistant(self.content, reuse=reuse)
        )


def _divide(
    cls: type[CreatesAssistant],
    options: AssistantRunnableOptions,
    name: str,
    instructions: str,
    tools: Sequence[Any],
    model: str,
) -> _Creation:
    own = cls.model_fields.keys() - _DERIVED
    refuse_unknown(options, dict.fromkeys([*_OPTIONS, *sorted(own)]))
    bound: dict[str, Any] = {k: v for k, v in options.items() if k in own}
    refuse_contradictions(bound, f"{cls.__name__}.create_assistant")
    wanted = options.get("response_format")
    clients = options.get("client"), options.get("async_client")
    if clients == (None, None):
        bound["engine"] = options.get("engine") or default_engine()
    bound["run_tools"] = tools_to_run(tools, options.get("run_tools", False))
    bound["answer_type"] = to_answer_type(wanted)
    content: dict[str, Any] = {
        **{k: v for k, v in options.items() if k not in own},
        "name": name,
        "instructions": instructions,
        "tools": [to_wire_tool(tool) for tool in tools],
        "model": model,
    }
    if wanted is not None:
        content["response_format"] = to_wire_format(wanted)
    return _Creation(backend_of(bound.get("engine"), *clients), content, bound)


def refuse_contradictions(bound: Mapping[str, Any], where: str) -> None:
    """Refuse fields of a runnable that cannot be, or not together.

    Raises:
        ConfigurationError: It names them.
    """
    clients = [bound.get("client"), bound.get("async_client")]
    if clients != [None, None]:
        if bound.get("engine") is not None:
            raise ConfigurationError(
                f"{where}(engine=..., client=...) names two places where runs would "
                "be; give one of them."
            )
        backend_of(None, *clients)  # refuses what is no client
    if bound.get("as_agent") and bound.get("as_message"):
        raise ConfigurationError(
            f"{where}(as_agent=True, as_message=True) asks for two kinds of output; "
            "give one of them."
        )
