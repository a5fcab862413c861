"""Which tools a run may call, and who executes each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.tools import tool as as_tool
from pydantic import BaseModel

from langchain_assistants.engine.call_types import HOSTED, CallType
from langchain_assistants.engine.hosted import HostedTools
from langchain_assistants.engine.offloading import Offloading
from langchain_assistants.errors import ConfigurationError

logger = logging.getLogger(__name__)

ToolLike: TypeAlias = BaseTool | Callable[..., Any]
"""A LangChain tool, or a function that becomes one."""

_MISSING = (
    "The assistant uses the hosted tool '{kind}', but the engine was opened without "
    "one: pass AssistantsEngine(interpreter='local') or 'e2b' for the code interpreter."
)


class Toolset(NamedTuple):
    """The tools of one run.

    Attributes:
        tools: For create_agent: tools to execute, dicts of what others execute.
        client_functions: Names of the functions that the run's caller executes.
        executed: Names of the tools that are executed here.
        hosted: Hosted tools as the run has them, by their type.
    """

    tools: list[BaseTool | dict[str, Any]]
    client_functions: frozenset[str]
    executed: frozenset[str]
    hosted: Mapping[CallType, Mapping[str, Any]]


class Implementations:
    """Tools that can be executed here, by name.

    Args:
        tools: Tools or functions; a name may occur once.
        offloading: Where synchronous ones are executed.

    Raises:
        ConfigurationError: Two tools share a name, or one is not a tool.
    """

    def __init__(self, tools: Sequence[ToolLike], offloading: Offloading) -> None:
        """Make tools of functions, and none of them block the loop."""
        self._by_name: dict[str, BaseTool] = {}
        for given in tools:
            tool = offloading.tool(to_tool(given))
            if tool.name in self._by_name:
                raise ConfigurationError(
                    f"Two tools are named '{tool.name}'; give one another name."
                )
            self._by_name[tool.name] = tool

    @property
    def names(self) -> frozenset[str]:
        """The names of all tools."""
        return frozenset(self._by_name)

    @property
    def tools(self) -> list[BaseTool]:
        """The tools, in the order in which they were given."""
        return list(self._by_name.values())

    def only(self, names: Iterable[str]) -> Implementations:
        """Return those of these names that are here."""
        chosen = object.__new__(Implementations)
        chosen._by_name = {n: self._by_name[n] for n in names if n in self._by_name}
        return chosen

    def get(self, name: str) -> BaseTool | None:
        """Return the tool with a name."""
        return self._by_name.get(name)


def to_tool(given: ToolLike) -> BaseTool:
    """Return a tool, made of a function where it is none yet.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(given, BaseTool):
        return given
    if callable(given) and not isinstance(given, type):
        return as_tool(given)
    raise ConfigurationError(
        f"{given!r} cannot be executed: give a LangChain tool or a function (schemas "
        "and dicts only describe one)."
    )


def bind(
    wanted: Sequence[Mapping[str, Any]],
    own: Implementations,
    engine: Implementations,
    hosted: Mapping[str, HostedTools],
) -> Toolset:
    """Decide for each tool of a run who executes it.

    Args:
        wanted: The run's tools as on the wire.
        own: Implementations bound to this run (`run_tools`), by name.
        engine: The engine's tools; they serve an entry only if it says so by
            `"run_on": "engine"`.
        hosted: The hosted tools that the engine has, by type.

    Raises:
        ConfigurationError: An entry asks for a tool that is not there, or a function
            has the name of a hosted tool that the run has too.
    """
    tools: list[BaseTool | dict[str, Any]] = []
    client: set[str] = set()
    executed: set[str] = set()
    held: dict[CallType, Mapping[str, Any]] = {}
    for entry in wanted:
        kind = entry["type"]
        if kind in HOSTED:
            if kind not in hosted:
                raise ConfigurationError(_MISSING.format(kind=kind))
            if kind not in held:
                tools.append({"type": "function", "function": hosted[kind].schema})
            held[kind] = entry
            continue
        plain = {name: value for name, value in entry.items() if name != "run_on"}
        if kind != "function":
            tools.append(plain)  # a provider's own tool: only the model sees it
            continue
        name = entry["function"]["name"]
        implementation = own.get(name)
        if implementation is None and entry.get("run_on") == "engine":
            implementation = engine.get(name)
            if implementation is None:
                raise ConfigurationError(
                    f"The assistant's tool '{name}' says run_on='engine', but the "
                    "engine was opened without it; pass it in AssistantsEngine(tools=)."
                )
        if implementation is not None:
            tools.append(implementation)
            executed.add(name)
        else:
            function = {k: v for k, v in entry["function"].items() if v is not None}
            tools.append({"type": "function", "function": function})
            client.add(name)
    unknown = own.names - executed
    if unknown:
        logger.warning("run_tools_not_offered", extra={"tools": sorted(unknown)})
    if doubled := held.keys() & (client | executed):
        raise ConfigurationError(
            f"A function is named '{min(doubled)}' as the hosted tool is; give it "
            "another name."
        )
    return Toolset(tools, frozenset(client), frozenset(executed), held)


def tools_to_run(tools: Sequence[Any], run_tools: bool | Sequence[Any]) -> list[Any]:
    """Return the tools to execute: those given, a list of its own, or none.

    Raises:
        ConfigurationError: A tool to execute is only a schema.
    """
    if run_tools is False:
        return []
    own = [tool for tool in tools if not _is_hosted(tool)]
    executed = own if run_tools is True else list(run_tools)
    for tool in executed:
        is_schema = isinstance(tool, type | Mapping | BaseModel)
        if is_schema and not isinstance(tool, BaseTool):
            raise ConfigurationError(
                f"run_tools needs implementations, but {tool!r} only describes a tool; "
                "give a function or a LangChain tool."
            )
    return executed


def _is_hosted(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") not in (None, "function")
