"""What middleware made of a thread's messages is what later runs see."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware, SummarizationMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, assert_paired, open_calls

from langchain_assistants.testing import Reply, ScriptedChatModel, call


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str) -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


@pytest.fixture
def adding() -> Reply:
    return Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])


def summarising(summariser: ScriptedChatModel) -> SummarizationMiddleware[Any, Any]:
    return SummarizationMiddleware(
        summariser, trigger=("messages", 5), keep=("messages", 3)
    )


def test_a_summary_is_made_once_and_kept_for_later_runs_and_engines(
    engine_factory: EngineFactory,
) -> None:
    summariser = ScriptedChatModel(["They talked about a and b."])
    answers = [str(number) for number in range(1, 5)]
    with summariser, ScriptedChatModel(answers) as model:
        engine = engine_factory(model, middleware=[summarising(summariser)])
        talk = Dialogue(engine)
        for text in ("a", "b", "c"):
            talk.ask(text)
        assert len(summariser.calls) == 1
        engine.close()
        again = engine_factory.reopen(model, middleware=[summarising(summariser)])
        later = Dialogue(again, thread_id=talk.thread_id)
        later.ask(
            "d", truncation_strategy={"type": "last_messages", "last_messages": 3}
        )
    before, after = model.calls[2].messages, model.calls[3].messages
    assert "They talked about a and b." in before[0].text
    assert [m.text for m in before[1:]] == ["b", "2", "c"]
    assert "They talked about a and b." in after[0].text
    assert after[-1].text == "d"
    assert later.texts == ["a", "1", "b", "2", "c", "3", "d", "4"]


def test_summaries_are_as_rare_as_in_one_state_that_is_never_reloaded(
    engine_factory: EngineFactory,
) -> None:
    def middleware(
        summariser: ScriptedChatModel,
    ) -> SummarizationMiddleware[Any, Any]:
        return SummarizationMiddleware(
            summariser, trigger=("messages", 8), keep=("messages", 2)
        )

    questions = [f"question {number}" for number in range(12)]
    ours, theirs = (
        ScriptedChatModel(respond=lambda messages, asked: "The gist.") for _ in range(2)
    )
    model = ScriptedChatModel(respond=lambda messages, asked: "ok")
    talk = Dialogue(engine_factory(model, middleware=[middleware(ours)]))
    for question in questions:
        assert talk.ask(question).status == "completed"

    agent = create_agent(
        ScriptedChatModel(respond=lambda messages, asked: "ok"),
        middleware=[middleware(theirs)],
        checkpointer=InMemorySaver(),
    )
    for question in questions:
        agent.invoke(
            {"messages": [("user", question)]}, {"configurable": {"thread_id": "1"}}
        )
    assert len(ours.calls) == len(theirs.calls) > 2
    seen = model.calls[-1].messages
    assert seen[0].text.count("The gist.") == 1
    assert seen[-1].text == questions[-1]
    assert len(talk.messages) == 24


def test_a_summary_made_after_a_tool_keeps_the_pairs_and_the_thread(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    summariser = ScriptedChatModel(respond=lambda messages, asked: "The gist.")
    with ScriptedChatModel(["1", adding, "It is 3.", "Bye."]) as model:
        engine = engine_factory(
            model, tools=[add], middleware=[summarising(summariser)]
        )
        talk = Dialogue(engine, executed=[add])
        talk.ask("a")
        talk.ask("1 + 2?")
        assert talk.ask("Thanks").status == "completed"
    for asked in model.calls:
        assert_paired(asked.messages)
    assert talk.texts == ["a", "1", "1 + 2?", "It is 3.", "Thanks", "Bye."]
    assert "The gist." in model.calls[-1].messages[0].text


def test_a_summary_survives_a_stop_for_tool_outputs(
    engine_factory: EngineFactory,
) -> None:
    summariser = ScriptedChatModel(["The gist."])
    asks = Reply(tool_calls=[call("ask_user", {"question": "?"})])
    with summariser, ScriptedChatModel(["1", "2", asks, "Done."]) as model:
        middleware = SummarizationMiddleware(
            summariser, trigger=("messages", 5), keep=("messages", 1)
        )
        engine = engine_factory(model, middleware=[middleware])
        talk = Dialogue(engine, functions=[ask_user])
        talk.ask("a")
        talk.ask("b")
        waiting = talk.ask("c")
        (call_id,) = open_calls(waiting)
        engine.close()
        later = Dialogue(
            engine_factory.reopen(model, middleware=[middleware]),
            thread_id=talk.thread_id,
        )
        assert later.submit(waiting, {call_id: "yes"}).status == "completed"
    seen = model.calls[-1].messages
    assert_paired(seen)
    assert "The gist." in seen[0].text
    assert [m.type for m in seen] == ["human", "human", "ai", "tool"]


def test_what_pii_middleware_replaced_is_what_later_runs_see(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Noted.", "Fine."]) as model:
        engine = engine_factory(model, middleware=[PIIMiddleware("email")])
        talk = Dialogue(engine)
        talk.ask("I am ann@example.com")
        talk.ask("Bye")
    assert [asked.messages[0].text for asked in model.calls] == [
        "I am [REDACTED_EMAIL]",
        "I am [REDACTED_EMAIL]",
    ]
    assert talk.texts[0] == "I am ann@example.com"


def test_replaced_text_survives_without_the_middleware(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Noted.", "Fine."]) as model:
        engine = engine_factory(model, middleware=[PIIMiddleware("email")])
        talk = Dialogue(engine)
        talk.ask("I am ann@example.com")
        engine.close()
        later = Dialogue(engine_factory.reopen(model), thread_id=talk.thread_id)
        later.ask("Bye")
    assert model.calls[1].messages[0].text == "I am [REDACTED_EMAIL]"


def test_pii_in_a_message_with_an_image_keeps_the_image(
    engine_factory: EngineFactory,
) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with ScriptedChatModel(["Noted.", "Fine."]) as model:
        engine = engine_factory(model, middleware=[PIIMiddleware("email")])
        talk = Dialogue(engine)
        talk.ask([{"type": "text", "text": "I am ann@example.com"}, image])
        talk.ask("Bye")
    first, second = (asked.messages[0] for asked in model.calls)
    assert first.content == second.content
    assert "ann@example.com" not in str(second.content)
