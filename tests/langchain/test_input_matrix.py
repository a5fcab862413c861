"""Every input key of an assistant has its effect: on a new thread and on an existing
one, in sync and in async. LangChain's own classes drop many of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of
from tests.langchain.stage import Seen, Stage

from langchain_assistants.errors import InvalidRequestError, RunFailed
from langchain_assistants.run_input import KNOWN_KEYS
from langchain_assistants.testing import ScriptedChatModel


@dataclass(frozen=True)
class Case:
    """A key's value, where its effect is seen, and what is seen there."""

    value: Any
    read: Callable[[Seen], Any]
    expected: Any = None

    @property
    def effect(self) -> Any:
        return self.value if self.expected is None else self.expected


PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "https://example.org/sum.png"}},
]
FORCED = {"type": "function", "function": {"name": "add"}}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "Sum",
        "schema": {"type": "object", "properties": {"value": {"type": "integer"}}},
    },
}

# Keys of the message and of the run: the same on a new thread and on an existing one.
EVERYWHERE: dict[str, Case] = {
    "content": Case(
        PARTS,
        lambda s: [part.type for part in s.message.content],
        ["text", "image_url"],
    ),
    "attachments": Case(
        [{"file_id": "file-1", "tools": [{"type": "file_search"}]}],
        lambda s: [a.file_id for a in s.message.attachments or ()],
        ["file-1"],
    ),
    "message_metadata": Case({"kind": "question"}, lambda s: s.message.metadata),
    "run_metadata": Case({"trace": "1"}, lambda s: s.run.metadata),
    "instructions": Case(
        "Speak French.",
        lambda s: (s.system, s.run.instructions),
        ("Speak French.",) * 2,
    ),
    "additional_instructions": Case(
        "The user is called Ada.",
        lambda s: s.system,
        "You teach arithmetic.\n\nThe user is called Ada.",
    ),
    "additional_messages": Case(
        [{"role": "user", "content": "In words, please."}],
        lambda s: [m.text for m in s.users[:2]] + [s.call.messages[-1].text],
        ["In words, please.", "What is 2 + 2?", "In words, please."],
    ),
    "model": Case("gpt-5", lambda s: (s.made[0], s.run.model), ("gpt-5",) * 2),
    "tools": Case(
        [multiply],
        lambda s: (s.call.tool_names, [t.function.name for t in s.run.tools]),
        (["multiply"], ["multiply"]),
    ),
    "temperature": Case(
        0.0, lambda s: (s.call.settings["temperature"], s.run.temperature), (0.0, 0.0)
    ),
    "top_p": Case(0.5, lambda s: (s.call.settings["top_p"], s.run.top_p), (0.5, 0.5)),
    "tool_choice": Case(
        FORCED, lambda s: (s.call.tool_choice, s.run.tool_choice), ("add", FORCED)
    ),
    "parallel_tool_calls": Case(
        False,
        lambda s: (s.call.parallel_tool_calls, s.run.parallel_tool_calls),
        (False, False),
    ),
    "response_format": Case(
        {"type": "json_object"},
        lambda s: ("Answer with one JSON object" in s.system, s.run.response_format),
        (True, {"type": "json_object"}),
    ),
    "reasoning_effort": Case("low", lambda s: s.made[1], {"reasoning_effort": "low"}),
    "max_prompt_tokens": Case(4000, lambda s: s.run.max_prompt_tokens),
    "max_completion_tokens": Case(
        300,
        lambda s: (s.call.settings["max_tokens"], s.run.max_completion_tokens),
        (300, 300),
    ),
    "truncation_strategy": Case(
        {"type": "last_messages", "last_messages": 1},
        lambda s: [m.text for m in s.call.messages[1:]],
        ["What is 2 + 2?"],
    ),
}

# Keys of the thread: they matter where it is created.
AT_CREATION: dict[str, Case] = {
    "thread_metadata": Case({"topic": "sums"}, lambda s: s.thread.metadata),
    "tool_resources": Case(
        {"file_search": {"vector_store_ids": ["vs_1"]}},
        lambda s: (
            s.thread.tool_resources.model_dump(exclude_none=True)
            if s.thread.tool_resources
            else None
        ),
    ),
    "context": Case(
        {"customer": "Ada", "orders": [1, 2]},
        lambda s: (s.thread.context, s.system.split("\n\n")[-1]),
        (
            {"customer": "Ada", "orders": [1, 2]},
            "Context of this conversation:\n- customer: Ada\n- orders: [1, 2]",
        ),
    ),
    "thread_key": Case("customer:42", lambda s: s.thread.key),
}

# Keys whose effect needs more of a scene: each has tests of its own below or beside.
SCENES = {
    "thread_id",
    "expires_after",
    "on_active_run",
    "history",
    "tool_errors",
    "run_id",
    "tool_outputs",
    "intermediate_steps",
    "file_ids",  # deprecated: tests/server/test_v1.py
}


def test_every_key_is_tested() -> None:
    assert EVERYWHERE.keys() | AT_CREATION.keys() | SCENES == KNOWN_KEYS


@pytest.mark.parametrize("thread", ["new", "existing"])
@pytest.mark.parametrize("key", EVERYWHERE)
async def test_a_key_has_its_effect_on_new_and_existing_threads(
    stage: Stage, ask: Ask, key: str, thread: str
) -> None:
    case = EVERYWHERE[key]
    given = {"content": "What is 2 + 2?", key: case.value}
    if thread == "existing":
        given["thread_id"] = stage.existing_thread()
    answer = await ask(stage.assistant, given)
    seen = stage.seen(answer)
    assert case.read(seen) == case.effect
    assert given.get("thread_id", seen.thread.id) == seen.thread.id


@pytest.mark.embedded_only("arguments are merged above the backend")
@pytest.mark.parametrize("thread", ["new", "existing"])
@pytest.mark.parametrize("key", EVERYWHERE)
async def test_bound_arguments_merge_under_the_inputs_keys(
    stage: Stage, ask: Ask, key: str, thread: str
) -> None:
    case = EVERYWHERE[key]
    given = {} if key == "content" else {"content": "What is 2 + 2?"}
    if thread == "existing":
        given["thread_id"] = stage.existing_thread()
    bound = stage.assistant.bind(**{key: case.value})
    assert case.read(stage.seen(await ask(bound, given))) == case.effect


@pytest.mark.parametrize("key", AT_CREATION)
async def test_a_key_of_the_thread_has_its_effect_where_the_thread_is_created(
    stage: Stage, ask: Ask, key: str
) -> None:
    case = AT_CREATION[key]
    answer = await ask(stage.assistant, {"content": "Hi", key: case.value})
    assert case.read(stage.seen(answer)) == case.effect


@pytest.mark.parametrize("key", AT_CREATION)
async def test_a_key_of_the_thread_leaves_an_existing_thread_alone(
    stage: Stage, ask: Ask, key: str
) -> None:
    thread_id = stage.existing_thread()
    before = stage.engine.threads.retrieve(thread_id)
    await ask(
        stage.assistant,
        {"content": "Hi", "thread_id": thread_id, key: AT_CREATION[key].value},
    )
    assert stage.engine.threads.retrieve(thread_id) == before


@pytest.mark.parametrize("thread", ["new", "existing"])
async def test_none_counts_as_absent(stage: Stage, ask: Ask, thread: str) -> None:
    thread_id = None if thread == "new" else stage.existing_thread()
    given = dict.fromkeys(KNOWN_KEYS) | {"content": "Hi", "thread_id": thread_id}
    seen = stage.seen(await ask(stage.assistant, given))
    assert seen.made == ("gpt-4o", {})
    assert seen.system == "You teach arithmetic."
    assert seen.call.tool_names == ["add"]
    assert seen.call.settings == {}
    assert (seen.message.text, seen.message.metadata) == ("Hi", {})


async def test_none_does_not_hide_a_bound_argument(stage: Stage, ask: Ask) -> None:
    bound = stage.assistant.bind(temperature=0.5)
    seen = stage.seen(await ask(bound, {"content": "Hi", "temperature": None}))
    assert seen.run.temperature == 0.5


async def test_the_inputs_key_wins_over_a_bound_argument(
    stage: Stage, ask: Ask
) -> None:
    bound = stage.assistant.bind(temperature=0.5, model="gpt-5")
    seen = stage.seen(await ask(bound, {"content": "Hi", "temperature": 1.5}))
    assert (seen.run.temperature, seen.run.model) == (1.5, "gpt-5")


async def test_thread_id_continues_the_thread(stage: Stage, ask: Ask) -> None:
    first = await ask(stage.assistant, {"content": "One"})
    thread_id = first[0].thread_id
    second = await ask(stage.assistant, {"content": "Two", "thread_id": thread_id})
    assert second[0].thread_id == thread_id
    assert [m.text for m in stage.model.calls[-1].messages[1:]] == ["One", "4.", "Two"]


async def test_a_thread_id_alone_runs_on_what_the_thread_holds(
    stage: Stage, ask: Ask
) -> None:
    thread = stage.engine.threads.create(messages=[{"role": "user", "content": "Hi"}])
    (answer,) = await ask(stage.assistant, {"thread_id": thread.id})
    assert answer.text == "4."
    assert len(list(stage.engine.messages.list(thread.id))) == 2


async def test_on_active_run_says_what_happens_to_the_active_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([calls((add, 1, 2)), "Hello."], [add])
    await ask(assistant, {"content": "1 + 2?", "thread_key": "one"})
    thread = engine_of(assistant).threads.get_or_create(key="one")
    given = {"content": "Hi", "thread_key": "one"}
    with pytest.raises(InvalidRequestError, match="already has an active run"):
        await ask(assistant, given)
    (answer,) = await ask(assistant, given | {"on_active_run": "cancel"})
    assert answer.text == "Hello."
    statuses = [run.status for run in engine_of(assistant).runs.list(thread.id)]
    assert statuses == ["completed", "cancelled"]


@pytest.mark.parametrize(
    ("history", "types"),
    [
        ("full", ["human", "ai", "tool", "ai", "human"]),
        ("messages", ["human", "ai", "human"]),
    ],
)
async def test_history_says_whether_the_model_sees_earlier_calls(
    make_assistant: MakeAssistant, ask: Ask, history: str, types: list[str]
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), "3.", "Hello."])
    assistant = make_assistant(model, [add], run_tools=True)
    first = await ask(assistant, "1 + 2?")
    given = {"content": "Hi", "thread_id": first[0].thread_id, "history": history}
    await ask(assistant, given)
    assert [m.type for m in model.calls[-1].messages[1:]] == types


@pytest.mark.parametrize("thread", ["new", "existing"])
async def test_expires_after_sets_the_deadline(
    make_assistant: MakeAssistant, ask: Ask, thread: str
) -> None:
    assistant = make_assistant([calls((add, 1, 2))], [add], as_agent=True)
    given: dict[str, Any] = {"content": "1 + 2?", "expires_after": 60}
    if thread == "existing":
        given["thread_id"] = engine_of(assistant).threads.create().id
    (action,) = await ask(assistant, given)
    run = engine_of(assistant).runs.retrieve(action.run_id)
    assert run.expires_at == run.created_at + 60


@pytest.mark.parametrize("thread", ["new", "existing"])
async def test_tool_errors_says_whether_the_run_fails_with_its_tool(
    make_assistant: MakeAssistant, ask: Ask, thread: str
) -> None:
    def broken(a: int, b: int) -> int:
        """Break."""
        raise ValueError("no such sum")

    replies = [calls((add, 1, 2)), "It broke.", calls((add, 1, 2))]
    model = ScriptedChatModel(replies)
    broken_add = add.model_copy(update={"func": broken})
    assistant = make_assistant(model, [broken_add], run_tools=True)
    given: dict[str, Any] = {"content": "1 + 2?"}
    if thread == "existing":
        given["thread_id"] = engine_of(assistant).threads.create().id
    (answer,) = await ask(assistant, given)
    assert answer.text == "It broke."
    assert "no such sum" in model.calls[1].messages[-1].text
    with pytest.raises(RunFailed):
        await ask(assistant, given | {"tool_errors": "fail"})


# Other forms of the whole input.


async def test_a_string_is_the_content(stage: Stage, ask: Ask) -> None:
    assert stage.seen(await ask(stage.assistant, "Hi")).message.text == "Hi"


async def test_langchain_messages_join_the_thread_and_instruct_the_run(
    stage: Stage, ask: Ask
) -> None:
    answer = await ask(
        stage.assistant,
        [
            SystemMessage("Be brief."),
            HumanMessage("What is 1 + 1?"),
            AIMessage("2."),
            HumanMessage(
                [
                    "And this?",
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": "https://example.org/a.png"},
                    {"type": "image_url", "image_url": {"url": "https://x.org/b.png"}},
                ]
            ),
        ],
    )
    seen = stage.seen(answer)
    assert seen.system == "You teach arithmetic.\n\nBe brief."
    assert [m.text for m in seen.users] == ["And this?\nLook:", "What is 1 + 1?"]
    assert [part.type for part in seen.message.content] == [
        "text",
        "text",
        "image_url",
        "image_url",
    ]
    shown = [(m.type, m.text) for m in seen.call.messages[1:3]]
    assert shown == [("human", "What is 1 + 1?"), ("ai", "2.")]


async def test_one_langchain_message_is_an_input(stage: Stage, ask: Ask) -> None:
    answer = await ask(stage.assistant, HumanMessage("Hi"))
    assert stage.seen(answer).message.text == "Hi"


async def test_a_prompt_can_be_piped_into_an_assistant(stage: Stage, ask: Ask) -> None:
    prompt = ChatPromptTemplate([("system", "Be brief."), ("human", "{a} + {b}?")])
    seen = stage.seen(await ask(prompt | stage.assistant, {"a": 1, "b": 2}))
    assert seen.message.text == "1 + 2?"
    assert seen.system == "You teach arithmetic.\n\nBe brief."


async def test_a_bound_thread_holds_for_every_form_of_input(
    stage: Stage, ask: Ask
) -> None:
    bound = stage.assistant.bind(thread_key="ada", temperature=0.5)
    first = stage.seen(await ask(bound, "One"))
    second = stage.seen(await ask(bound, [HumanMessage("Two")]))
    assert first.thread.id == second.thread.id
    assert second.run.temperature == 0.5


class Sum(BaseModel):
    """A sum."""

    value: int


async def test_tools_of_a_run_may_be_any_form_of_tool(stage: Stage, ask: Ask) -> None:
    def plus(a: int) -> int:
        """Add one."""
        return a + 1

    wire = {"type": "function", "function": {"name": "wired", "parameters": {}}}
    bare = {"name": "bare", "description": "Bare.", "parameters": {"type": "object"}}
    given = {"content": "Hi", "tools": [add, plus, Sum, wire, bare]}
    seen = stage.seen(await ask(stage.assistant, given))
    assert seen.call.tool_names == ["add", "plus", "Sum", "wired", "bare"]
