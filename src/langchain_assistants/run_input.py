"""The input of an AssistantRunnable: which of its keys goes where."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompt_values import (
    ChatPromptValueConcrete,
    PromptValue,
    StringPromptValue,
)
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.structured_output import to_answer_type, to_wire_format

logger = logging.getLogger(__name__)

ExtraKeys = Literal["error", "warn", "ignore"]

RUN_KEYS = (
    "instructions",
    "additional_instructions",
    "additional_messages",
    "model",
    "tools",
    "temperature",
    "top_p",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "max_prompt_tokens",
    "max_completion_tokens",
    "truncation_strategy",
    "on_active_run",
    "history",
    "tool_errors",
    "expires_after",
)
MESSAGE_KEYS = {
    "attachments": "attachments",
    "message_metadata": "metadata",
    "file_ids": "file_ids",  # of the first API: deprecated, and told so
}
THREAD_KEYS = {
    "thread_metadata": "metadata",
    "tool_resources": "tool_resources",
    "context": "context",
}


class AssistantInput(TypedDict, total=False):
    """Keys of the input; every one may be left out or None.

    A plain string, LangChain messages or a prompt may stand for the whole input.
    """

    content: str | list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    message_metadata: dict[str, str]
    file_ids: list[str]
    thread_id: str
    thread_key: str
    thread_metadata: dict[str, str]
    tool_resources: dict[str, Any]
    context: dict[str, Any]
    run_metadata: dict[str, str]
    instructions: str
    additional_instructions: str
    additional_messages: list[dict[str, Any]]
    model: str
    tools: list[Any]
    temperature: float
    top_p: float
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    response_format: Any
    reasoning_effort: str
    max_prompt_tokens: int
    max_completion_tokens: int
    truncation_strategy: dict[str, Any]
    on_active_run: str
    history: str
    tool_errors: str
    expires_after: int
    run_id: str
    tool_outputs: list[dict[str, Any]]
    intermediate_steps: list[tuple[Any, Any]]


MessagesInput: TypeAlias = (
    StringPromptValue | ChatPromptValueConcrete | list[AnyMessage]
)
"""What may stand for the whole input, besides a string: the types of chat models."""


class ToolInput(BaseModel):
    """The arguments of an assistant that is another agent's tool."""

    content: str = Field(
        description="The message to the assistant; it sees nothing else of this "
        "conversation."
    )


KNOWN_KEYS = frozenset(AssistantInput.__annotations__)

_MEANT = {
    **dict.fromkeys(
        ("input", "message", "messages", "prompt", "query", "question", "text"),
        "content",
    ),
    **dict.fromkeys(("conversation_id", "session_id", "user_id"), "thread_key"),
    "files": "attachments",
    "metadata": "message_metadata",
}
"""Names that chains, agents and chat histories have for what is called so here."""


class RunStart(NamedTuple):
    """A new run on a new or an existing thread.

    Attributes:
        messages: Bodies of the new user message, or messages.
        thread: Body of the thread, for where it is created.
        body: Body of the run, without the assistant.
        answer_type: What the answer is parsed to.
    """

    thread_id: str | None
    thread_key: str | None
    messages: list[dict[str, Any]]
    thread: dict[str, Any]
    body: dict[str, Any]
    answer_type: type[Any] | None

    def again_on(self, thread_id: str) -> RunStart:
        """Return the run on the thread that has stored its messages already."""
        body = {k: v for k, v in self.body.items() if k != "additional_messages"}
        return self._replace(thread_id=thread_id, messages=[], body=body)


class RunResume(NamedTuple):
    """Outputs for a run that waits for them.

    Attributes:
        outputs: As given, but for their values, which are text; not checked yet.
        from_agent: Whether they are those of all rounds of an agent loop.
    """

    run_id: str
    thread_id: str | None
    outputs: Any
    answer_type: type[Any] | None
    from_agent: bool


def parse(
    given: Any,
    bound: Mapping[str, Any],
    *,
    as_agent: bool,
    extra_keys: ExtraKeys,
    answer_type: type[Any] | None,
) -> RunStart | RunResume:
    """Read an input.

    Args:
        given: A dict of the known keys, a string, LangChain messages or a prompt.
        bound: Arguments bound to the runnable; the input's keys win.
        as_agent: Whether `intermediate_steps` are outputs to submit.
        extra_keys: What to do with other keys.
        answer_type: What answers in the assistant's own format are parsed to.

    Raises:
        TypeError: The input has another type, or an unknown key.
        InvalidRequestError: There is nothing to run on, or no run to go on with.
    """
    named, messages = _read(given)
    keys = {**_present(bound), **_present(named)}
    _refuse_unknown(keys, extra_keys)
    if "response_format" in keys:
        answer_type = to_answer_type(keys["response_format"])
    steps = keys.get("intermediate_steps")
    if as_agent and steps:
        last = steps[-1][0]
        outputs = [
            {"tool_call_id": action.tool_call_id, "output": _as_text(value)}
            for action, value in steps
        ]
        return RunResume(last.run_id, last.thread_id, outputs, answer_type, True)
    if "run_id" in keys or "tool_outputs" in keys:
        run_id = keys["run_id"] if "run_id" in keys else _missing("run_id")
        outputs = _as_texts(keys.get("tool_outputs"))
        return RunResume(run_id, keys.get("thread_id"), outputs, answer_type, False)
    if "content" in keys:
        message = {"role": "user", "content": keys["content"]}
        message |= {w: keys[k] for k, w in MESSAGE_KEYS.items() if k in keys}
        messages.append(message)
    elif not messages and "thread_id" not in keys:
        _missing("content", keys)
    return RunStart(
        keys.get("thread_id"),
        keys.get("thread_key"),
        messages,
        {wire: keys[k] for k, wire in THREAD_KEYS.items() if k in keys},
        _run_body(keys),
        answer_type,
    )


def _present(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}


def _missing(key: str, given: Iterable[str] = ()) -> NoReturn:
    text = f"Missing required parameter: '{key}'."
    for name in given:
        if _MEANT.get(name) == key:
            text += f" The input has '{name}', which is none of an assistant's."
    raise InvalidRequestError(
        text,
        code="missing_required_parameter",
        param=key,
    )


def _run_body(keys: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: keys[name] for name in RUN_KEYS if name in keys}
    if "response_format" in keys:
        body["response_format"] = to_wire_format(keys["response_format"])
    if "tools" in keys:
        body["tools"] = [to_wire_tool(tool) for tool in keys["tools"]]
    if "run_metadata" in keys:
        body["metadata"] = keys["run_metadata"]
    return body


def to_wire_tool(tool: Any) -> dict[str, Any]:
    """Return a tool, function, pydantic class or dict as an assistant's tool entry.

    Raises:
        TypeError: It is none of them.
    """
    if isinstance(tool, BaseModel) and not isinstance(tool, BaseTool):
        tool = tool.model_dump()
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if isinstance(kind, str) and (kind != "function" or "function" in tool):
        return dict(tool)
    if not (isinstance(tool, Mapping | BaseTool | type) or callable(tool)):
        raise TypeError(
            f"{tool!r} is no tool: give a LangChain tool, a function, a pydantic class "
            "or a dict in OpenAI's form."
        )
    return convert_to_openai_tool(tool)


def _read(given: Any) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return the keys of an input, and the messages that LangChain messages become."""
    if isinstance(given, str):
        return {"content": given}, []
    if isinstance(given, PromptValue):
        given = given.to_messages()
    if isinstance(given, BaseMessage):
        given = [given]
    if isinstance(given, Mapping):
        return given, []
    if isinstance(given, Sequence) and all(isinstance(m, BaseMessage) for m in given):
        return _from_messages(given)
    raise TypeError(
        "The input must be a dict, a string, LangChain messages or a prompt, not "
        f"{type(given).__name__}."
    )


def _from_messages(
    messages: Sequence[BaseMessage],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Let human and AI messages join the thread, and system ones instruct the run.

    Where tool messages end the list, they are the outputs for the run whose required
    calls the AI message before them holds (`as_message`); the rest is in its thread.
    """
    if outputs := _outputs(messages):
        return outputs, []
    bodies: list[dict[str, Any]] = []
    instructions: list[str] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            instructions.append(str(message.text))
        elif isinstance(message, HumanMessage):
            bodies.append({"role": "user", "content": message_content(message)})
        elif isinstance(message, AIMessage):
            bodies.append({"role": "assistant", "content": str(message.text)})
        else:
            raise TypeError(
                f"A {type(message).__name__} cannot be an input: submit tool outputs "
                "with 'run_id' and 'tool_outputs', or right behind the message of "
                "as_message=True that requires them."
            )
    if not instructions:
        return {}, bodies
    return {"additional_instructions": "\n\n".join(instructions)}, bodies


def _outputs(messages: Sequence[BaseMessage]) -> dict[str, Any] | None:
    """Return the keys that submit the tool messages at the end, if there are any."""
    tail = list(takewhile(lambda m: isinstance(m, ToolMessage), reversed(messages)))
    if not 0 < len(tail) < len(messages):
        return None
    told = messages[-len(tail) - 1].response_metadata
    if "run_id" not in told:
        return None
    outputs = [
        {"tool_call_id": message.tool_call_id, "output": message}
        for message in reversed(tail)
        if isinstance(message, ToolMessage)
    ]
    return {
        "run_id": told["run_id"],
        "thread_id": told.get("thread_id"),
        "tool_outputs": outputs,
    }


def message_content(message: BaseMessage) -> str | list[dict[str, Any]]:
    """Return the content of a person's message as a thread takes it.

    Raises:
        TypeError: It has blocks that a thread cannot hold.
    """
    if isinstance(message.content, str):
        return message.content
    parts: list[dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, str):
            parts.append({"type": "text", "text": block})
        elif block.get("type") == "text":
            parts.append({"type": "text", "text": block.get("text")})
        elif block.get("type") == "image_url":
            url = block.get("image_url")
            parts.append(
                {
                    "type": "image_url",
                    "image_url": {"url": url} if isinstance(url, str) else url,
                }
            )
        else:
            raise TypeError(
                f"A content block of type {block.get('type')!r} cannot be stored in a "
                "thread; use text and image_url blocks."
            )
    return parts


def _refuse_unknown(keys: Mapping[str, Any], mode: ExtraKeys) -> None:
    unknown = [name for name in keys if name not in KNOWN_KEYS]
    if not unknown or mode == "ignore":
        return
    name = str(unknown[0])
    near = [_MEANT[name]] if name in _MEANT else []
    near += difflib.get_close_matches(name, KNOWN_KEYS, n=1)
    advice = f"did you mean '{near[0]}'?" if near else "it is none of an assistant's."
    text = f"Unknown input key '{name}': {advice}"
    if mode == "error":
        raise TypeError(f'{text} (extra_keys="ignore" lets other keys pass)')
    logger.warning("unknown_input_keys", extra={"keys": sorted(map(str, unknown))})


def _as_texts(outputs: Any) -> Any:
    if not isinstance(outputs, list):
        return outputs
    return [
        {**item, "output": _as_text(item["output"])}
        if isinstance(item, Mapping) and "output" in item
        else item
        for item in outputs
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
