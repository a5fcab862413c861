"""The settings in force for one run: the assistant's, overridden by the run's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_assistants.settings import Settings
from langchain_assistants.storage.database import Row, from_json

_OVERRIDABLE = ("model", "temperature", "top_p", "reasoning_effort")
_AUTO_TRUNCATION = {"type": "auto", "last_messages": None}


class RunSettings(NamedTuple):
    """What a run was asked to do; stored on its row, so later updates do not reach it.

    Attributes:
        instructions: The run's or the assistant's, then the additional ones.
        history: Whether the model sees earlier tool calls ("full") or only messages.
        tool_errors: Whether the model sees a tool's failure or the run ends with it.
    """

    model: str
    instructions: str | None
    tools: list[dict[str, Any]]
    temperature: float | None
    top_p: float | None
    reasoning_effort: str | None
    response_format: Any
    tool_choice: Any
    parallel_tool_calls: bool
    max_prompt_tokens: int | None
    max_completion_tokens: int | None
    truncation_strategy: dict[str, Any]
    history: str
    tool_errors: str

    @classmethod
    def merge(
        cls, assistant: Row, body: Mapping[str, Any], defaults: Settings
    ) -> RunSettings:
        """Merge an assistant's row, a checked body and the engine's defaults."""
        chosen = {
            name: assistant[name] if body.get(name) is None else body[name]
            for name in _OVERRIDABLE
        }
        parallel = body.get("parallel_tool_calls")
        return cls(
            **chosen,
            instructions=_instructions(assistant, body),
            tools=_own_or(body, "tools", assistant),
            response_format=_own_or(body, "response_format", assistant),
            tool_choice=body.get("tool_choice") or "auto",
            parallel_tool_calls=True if parallel is None else parallel,
            max_prompt_tokens=body.get("max_prompt_tokens"),
            max_completion_tokens=body.get("max_completion_tokens"),
            truncation_strategy=body.get("truncation_strategy") or _AUTO_TRUNCATION,
            history=body.get("history") or defaults.history,
            tool_errors=body.get("tool_errors") or defaults.tool_errors,
        )

    @classmethod
    def of(cls, row: Row) -> RunSettings:
        """Read the settings from a run's row."""
        return cls(**from_json(row["settings"]))

    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> RunSettings:
        """Add functions that the settings do not name yet."""
        known = {t["function"]["name"] for t in self.tools if t["type"] == "function"}
        added = [dict(t) for t in tools if t["function"]["name"] not in known]
        return self._replace(tools=[*self.tools, *added]) if added else self

    def spent_budget(
        self, prompt: int, completion: int, *, goes_on: bool
    ) -> str | None:
        """Name the budget that these tokens have used up, if they have.

        Args:
            prompt: Tokens of all prompts so far.
            completion: Tokens of all answers so far.
            goes_on: Whether the model would be asked again: then none may be left over.
        """
        for limit, spent, name in (
            (self.max_completion_tokens, completion, "max_completion_tokens"),
            (self.max_prompt_tokens, prompt, "max_prompt_tokens"),
        ):
            if limit is not None and (spent > limit or (goes_on and spent >= limit)):
                return name
        return None

    def model_params(self) -> dict[str, Any]:
        """Return the sampling parameters that were asked for."""
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "reasoning_effort": self.reasoning_effort,
        }
        return {name: value for name, value in given.items() if value is not None}


def _own_or(body: Mapping[str, Any], name: str, assistant: Row) -> Any:
    own = body.get(name)
    return from_json(assistant[name]) if own is None else own


def _instructions(assistant: Row, body: Mapping[str, Any]) -> str | None:
    own = body.get("instructions")
    base = assistant["instructions"] if own is None else own
    parts = [part for part in (base, body.get("additional_instructions")) if part]
    return "\n\n".join(parts) or None
