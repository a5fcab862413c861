"""Names of LangChain's OpenAIAssistantRunnable, for code that was written for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from langchain_assistants.actions import AssistantAction, AssistantFinish
from langchain_assistants.assistant import AssistantRunnable
from langchain_assistants.backends import Backend, backend_of
from langchain_assistants.run_input import ExtraKeys, RunResume, RunStart

__all__ = [
    "AssistantAction",
    "AssistantFinish",
    "OpenAIAssistantAction",
    "OpenAIAssistantFinish",
    "OpenAIAssistantRunnable",
]


OpenAIAssistantAction = AssistantAction
OpenAIAssistantFinish = AssistantFinish


class OpenAIAssistantRunnable(AssistantRunnable):
    """A drop-in for LangChain's class of this name.

    It takes the old constructor's arguments besides those of `AssistantRunnable`, and
    input keys that it does not know are logged instead of refused. `file_ids` become
    attachments, as in the community's V2 class.

    Example:
        >>> from langchain_assistants import AssistantsEngine, OpenAIAssistantRunnable
        >>> from langchain_assistants.testing import ScriptedChatModel
        >>> engine = AssistantsEngine(
        ...     "sqlite:///:memory:", chat_model=ScriptedChatModel(["4."])
        ... )
        >>> agent = OpenAIAssistantRunnable.create_assistant(
        ...     "Tutor", "You teach.", [], "gpt-4o", engine=engine, as_agent=True
        ... )
        >>> agent.invoke({"content": "What is 2 + 2?"}).return_values["output"]
        '4.'
        >>> engine.close()
    """

    check_every_ms: float = Field(default=1_000.0, exclude=True, gt=0)
    """Only for a server that does not stream: all else is told as it happens."""
    extra_keys: ExtraKeys = "warn"

    @property
    def backend(self) -> Backend:
        """Who runs its runs."""
        return backend_of(
            self.engine,
            self.client,
            self.async_client,
            poll_seconds=self.check_every_ms / 1_000,
        )

    def _parsed(self, given: Any, bound: Mapping[str, Any]) -> RunStart | RunResume:
        """Read the input; V2's `file_ids` are attachments for both hosted tools."""
        return super()._parsed(_with_attachments(given), _with_attachments(bound))


def _with_attachments(keys: Any) -> Any:
    if not isinstance(keys, Mapping) or "file_ids" not in keys:
        return keys
    both = [{"type": "file_search"}, {"type": "code_interpreter"}]
    files = [{"file_id": i, "tools": both} for i in keys["file_ids"] or ()]
    others = {name: value for name, value in keys.items() if name != "file_ids"}
    return {**others, "attachments": [*(keys.get("attachments") or ()), *files]}
