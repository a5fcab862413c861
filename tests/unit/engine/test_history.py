"""What the model sees of a thread: window, pairing, trimming."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, assert_paired

from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call, malformed_call


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str) -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


def shapes(messages: list[BaseMessage]) -> list[tuple[str, str]]:
    return [(message.type, str(message.text)) for message in messages]


@pytest.fixture
def adding() -> Reply:
    return Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])


def test_full_history_shows_earlier_calls_and_their_outputs(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    with ScriptedChatModel([adding, "It is 3.", "You are welcome."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?")
        talk.ask("Thanks")
    seen = model.calls[-1].messages
    assert shapes(seen) == [
        ("human", "1 + 2?"),
        ("ai", ""),
        ("tool", "3"),
        ("ai", "It is 3."),
        ("human", "Thanks"),
    ]
    assert isinstance(seen[1], AIMessage)
    assert [(c["name"], c["args"]) for c in seen[1].tool_calls] == [
        ("add", {"a": 1, "b": 2})
    ]
    assert_paired(seen)


def test_history_of_messages_hides_earlier_calls(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    with ScriptedChatModel([adding, "It is 3.", "You are welcome."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?")
        talk.ask("Thanks", history="messages")
    assert shapes(model.calls[-1].messages) == [
        ("human", "1 + 2?"),
        ("ai", "It is 3."),
        ("human", "Thanks"),
    ]


def test_history_of_messages_may_be_the_engines_default(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    settings = Settings(history="messages")
    with ScriptedChatModel([adding, "It is 3.", "You are welcome."]) as model:
        engine = engine_factory(model, tools=[add], settings=settings)
        talk = Dialogue(engine, executed=[add])
        talk.ask("1 + 2?")
        talk.ask("Thanks")
    assert "tool" not in [message.type for message in model.calls[-1].messages]


def test_history_of_messages_still_shows_the_calls_of_the_run_itself(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    with ScriptedChatModel([adding, "It is 3."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?", history="messages")
    assert [m.type for m in model.calls[-1].messages] == ["human", "ai", "tool"]


def test_text_and_calls_of_one_answer_stay_one_ai_message(
    engine_factory: EngineFactory,
) -> None:
    both = Reply("Let me see.", tool_calls=[call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([both, "It is 3.", "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?")
        talk.ask("Thanks")
    seen = model.calls[-1].messages
    assert shapes(seen) == [
        ("human", "1 + 2?"),
        ("ai", "Let me see."),
        ("tool", "3"),
        ("ai", "It is 3."),
        ("human", "Thanks"),
    ]
    assert isinstance(seen[1], AIMessage)
    assert len(seen[1].tool_calls) == 1
    assert talk.texts == ["1 + 2?", "Let me see.", "It is 3.", "Thanks", "Bye."]


def test_several_turns_of_calls_keep_their_order(engine_factory: EngineFactory) -> None:
    first = Reply("First.", tool_calls=[call("add", {"a": 1, "b": 1})])
    second = Reply(
        tool_calls=[call("add", {"a": 2, "b": 2}), call("add", {"a": 3, "b": 3})]
    )
    third = Reply("Third.", tool_calls=[call("add", {"a": 4, "b": 4})])
    with ScriptedChatModel([first, second, third, "Done.", "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("Go")
        talk.ask("Thanks")
    seen = model.calls[-1].messages
    assert shapes(seen) == [
        ("human", "Go"),
        ("ai", "First."),
        ("tool", "2"),
        ("ai", ""),
        ("tool", "4"),
        ("tool", "6"),
        ("ai", "Third."),
        ("tool", "8"),
        ("ai", "Done."),
        ("human", "Thanks"),
    ]
    assert_paired(seen)


def test_the_calls_of_a_cancelled_run_get_an_error_output(
    engine_factory: EngineFactory,
) -> None:
    asks = Reply(tool_calls=[call("ask_user", {"question": "?"}), call("add", {})])
    with ScriptedChatModel([asks, "Never mind."]) as model:
        engine = engine_factory(model, tools=[add])
        talk = Dialogue(engine, executed=[add], functions=[ask_user])
        stopped = talk.ask("Go")
        assert stopped.status == "requires_action"
        assert engine.runs.cancel(stopped.id).status == "cancelled"
        assert talk.ask("Again").status == "completed"
    seen = model.calls[-1].messages
    assert_paired(seen)
    outputs = [m for m in seen if isinstance(m, ToolMessage)]
    assert outputs[0].status == "error"
    assert outputs[0].text == "Error: the run ended as cancelled before this call " + (
        "had an output."
    )
    assert outputs[1].status == "success"  # the engine had executed it


def test_the_calls_of_a_failed_run_get_an_error_output(
    engine_factory: EngineFactory,
) -> None:
    def explode() -> str:
        """Explode."""
        raise RuntimeError("boom")

    bad = Reply("Trying.", tool_calls=[call("explode")])
    with ScriptedChatModel([bad, "Sorry."]) as model:
        engine = engine_factory(model, tools=[explode])
        talk = Dialogue(engine, executed=[explode])
        assert talk.ask("Go", tool_errors="fail").status == "failed"
        assert talk.ask("Again").status == "completed"
    seen = model.calls[-1].messages
    assert_paired(seen)
    assert shapes(seen)[1:3] == [
        ("ai", "Trying."),
        ("tool", "Error: the run ended as failed before this call had an output."),
    ]


def test_an_expired_run_leaves_a_paired_history(
    engine_factory: EngineFactory, clock: Any
) -> None:
    asks = Reply(tool_calls=[call("ask_user", {"question": "?"})])
    with ScriptedChatModel([asks, "Hello again."]) as model:
        talk = Dialogue(engine_factory(model, clock=clock), functions=[ask_user])
        waiting = talk.ask("Go")
        clock.advance(601)
        assert talk.engine.runs.retrieve(waiting.id).status == "expired"
        assert talk.ask("Again").status == "completed"
    assert_paired(model.calls[-1].messages)
    assert "expired" in str(model.calls[-1].messages[2].text)


def test_malformed_arguments_are_empty_in_later_history(
    engine_factory: EngineFactory,
) -> None:
    broken = Reply(malformed=[malformed_call("add", "a=1")])
    with ScriptedChatModel([broken, "Sorry.", "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?")
        talk.ask("Thanks")
    seen = model.calls[-1].messages
    assert_paired(seen)
    assert isinstance(seen[1], AIMessage)
    assert seen[1].tool_calls[0]["args"] == {}


def test_the_model_sees_the_newest_hundred_messages(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel(["Yes."])
    with model:
        talk = Dialogue(engine_factory(model))
        for number in range(120):
            role = "user" if number % 2 == 0 else "assistant"
            talk.engine.messages.create(
                talk.thread_id, role=role, content=f"message {number}"
            )
        talk.ask("The newest")
    seen = model.calls[0].messages
    # 100 newest are 21..119 and the newest; 21 is the assistant's, so it is left out.
    assert len(seen) == 99
    assert isinstance(seen[0], HumanMessage)
    assert seen[0].text == "message 22"
    assert seen[-1].text == "The newest"


@pytest.mark.parametrize(("last", "first_seen"), [(1, "c"), (2, "c"), (3, "b")])
def test_last_messages_shows_only_so_many_and_starts_at_a_human_message(
    engine_factory: EngineFactory, last: int, first_seen: str
) -> None:
    with ScriptedChatModel(["1", "2", "3"]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask("a")
        talk.ask("b")
        strategy = {"type": "last_messages", "last_messages": last}
        talk.ask("c", truncation_strategy=strategy)
    seen = model.calls[-1].messages
    assert seen[0].type == "human"
    assert seen[0].text == first_seen
    assert seen[-1].text == "c"


def test_a_window_that_cuts_a_turn_drops_its_calls_too(
    engine_factory: EngineFactory, adding: Reply
) -> None:
    with ScriptedChatModel([adding, "It is 3.", "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("1 + 2?")
        strategy = {"type": "last_messages", "last_messages": 2}
        talk.ask("Thanks", truncation_strategy=strategy)
    assert shapes(model.calls[-1].messages) == [("human", "Thanks")]


def test_settings_say_how_many_messages_auto_shows(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["1", "2", "3"]) as model:
        settings = Settings(history_messages=3)
        talk = Dialogue(engine_factory(model, settings=settings))
        for text in ("a", "b", "c"):
            talk.ask(text)
    assert shapes(model.calls[-1].messages) == [
        ("human", "b"),
        ("ai", "2"),
        ("human", "c"),
    ]


def test_max_prompt_tokens_trims_the_oldest_messages(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["1", "2", "3"]) as model:
        talk = Dialogue(engine_factory(model))
        for letter in "ab":
            talk.ask(letter * 1200)
        run = talk.ask("c" * 40, max_prompt_tokens=400)
    assert run.status == "completed"
    seen = model.calls[-1].messages
    assert seen[0].type == "human"
    assert [m.text[0] for m in seen] == ["b", "2", "c"]
    assert count_tokens_approximately(seen) <= 400


def test_the_models_profile_limits_the_prompt(engine_factory: EngineFactory) -> None:
    steps = ["1", "2"]
    with ScriptedChatModel(steps, profile={"max_input_tokens": 200}) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask("a" * 600)
        run = talk.ask("b" * 400)
    assert run.status == "completed"
    assert [m.text[0] for m in model.calls[-1].messages] == ["b"]


def test_a_newest_message_too_long_for_the_model_fails_clearly(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([], profile={"max_input_tokens": 100}) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("a" * 4000)
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == "invalid_prompt"
    assert "context window" in run.last_error.message


def test_a_newest_message_beyond_max_prompt_tokens_ends_incomplete(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([]) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("a" * 4000, max_prompt_tokens=256)
    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_prompt_tokens"


def test_context_is_in_the_system_prompt_and_never_a_message(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Hello Ann.", "Bye Ann."]) as model:
        talk = Dialogue(
            engine_factory(model),
            instructions="Be kind.",
            thread={"context": {"name": "Ann", "plan": {"seats": 3}}},
        )
        talk.ask("Hi")
        talk.ask("Bye")
    for asked in model.calls:
        system, *rest = asked.messages
        assert system.type == "system"
        assert system.text == (
            "Be kind.\n\nContext of this conversation:\n"
            '- name: Ann\n- plan: {"seats": 3}'
        )
        assert all("Ann" not in m.text for m in rest if m.type == "human")
        assert [m.type for m in asked.messages].count("system") == 1
    assert talk.texts == ["Hi", "Hello Ann.", "Bye", "Bye Ann."]


def test_context_needs_no_instructions(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["Hello."]) as model:
        talk = Dialogue(engine_factory(model), thread={"context": {"a": "b"}})
        talk.ask()
    assert model.calls[0].messages[0].text == "Context of this conversation:\n- a: b"


def test_without_instructions_and_context_there_is_no_system_message(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Hello."]) as model:
        Dialogue(engine_factory(model)).ask()
    assert [m.type for m in model.calls[0].messages] == ["human"]


def test_a_runs_instructions_replace_and_additional_ones_extend(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["1", "2", "3"]) as model:
        talk = Dialogue(engine_factory(model), instructions="Base.")
        talk.ask(instructions="Own.")
        talk.ask(additional_instructions="More.")
        run = talk.ask(instructions="Own.", additional_instructions="More.")
    systems = [asked.messages[0].text for asked in model.calls]
    assert systems == ["Own.", "Base.\n\nMore.", "Own.\n\nMore."]
    assert run.instructions == "Own.\n\nMore."


def test_additional_messages_come_before_the_run_in_their_order(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Three."]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask(
            None,
            additional_messages=[
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": "what next?"},
            ],
        )
    assert shapes(model.calls[0].messages) == [
        ("human", "one"),
        ("ai", "two"),
        ("human", "what next?"),
    ]


def test_images_reach_the_model_as_blocks(engine_factory: EngineFactory) -> None:
    url = {"url": "https://example.com/cat.png", "detail": "low"}
    with ScriptedChatModel(["A cat.", "Yes."]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask(
            [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": url},
                {"type": "image_file", "image_file": {"file_id": "file-abc123"}},
            ]
        )
        talk.ask("Sure?")
    for asked in model.calls:
        assert asked.messages[0].content == [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": url},
            {"type": "text", "text": "[image file-abc123, which cannot be shown]"},
        ]


def test_stored_pictures_reach_the_model(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["A cat."]) as model:
        engine = engine_factory(model)
        talk = Dialogue(engine)
        picture = engine.files.create(file=("cat.png", b"bytes"), purpose="vision")
        text = engine.files.create(file=("cat.txt", b"a cat"), purpose="assistants")
        talk.ask(
            [
                {"type": "image_file", "image_file": {"file_id": id, "detail": "low"}}
                for id in (picture.id, text.id)
            ]
        )
    assert model.calls[0].messages[0].content == [
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,Ynl0ZXM=", "detail": "low"},
        },
        {"type": "text", "text": f"[image {text.id}, which cannot be shown]"},
    ]


def test_a_refusal_is_remembered_as_what_the_assistant_said(
    engine_factory: EngineFactory,
) -> None:
    refused = Reply(refusal="I cannot help with that.")
    with ScriptedChatModel([refused, "Better."]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask("Do harm")
        talk.ask("Do good")
    assert shapes(model.calls[-1].messages) == [
        ("human", "Do harm"),
        ("ai", "I cannot help with that."),
        ("human", "Do good"),
    ]


def test_an_empty_answer_leaves_no_empty_message_behind(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([Reply(""), "Now."]) as model:
        talk = Dialogue(engine_factory(model))
        assert talk.ask("Say nothing").status == "completed"
        talk.ask("Say something")
    assert shapes(model.calls[-1].messages) == [
        ("human", "Say nothing"),
        ("human", "Say something"),
    ]
