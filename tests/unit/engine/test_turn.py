"""One answer of the model: in pieces, malformed, cut off, repeated, cached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from tests.conftest import EngineFactory
from tests.dialogue import (
    Dialogue,
    assert_all_ended,
    ended,
    heard_text,
    names,
    open_calls,
)
from tests.stored import broken_invariants

from langchain_assistants.testing import Reply, ScriptedChatModel, call, malformed_call
from langchain_assistants.types.events import RunEvent


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str = "?") -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


def go(talk: Dialogue, *, streamed: bool, **run: Any) -> Any:
    """Run on "Go", heard by somebody or by nobody."""
    return ended(talk.hear("Go", **run)) if streamed else talk.ask("Go", **run)


def heard_calls(events: list[RunEvent]) -> dict[int, tuple[str, str, str]]:
    """What the step deltas add up to: id, name and arguments by index."""
    found: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if event.event != "thread.run.step.delta":
            continue
        details = event.data.delta.step_details
        for piece in details.tool_calls or ():
            call_id, name, arguments = found.get(piece.index, ("", "", ""))
            found[piece.index] = (
                call_id + (piece.id or ""),
                name + (piece.function.name or ""),
                arguments + (piece.function.arguments or ""),
            )
    return found


both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "pieces"])


# Malformed arguments.


@both_ways
@pytest.mark.parametrize("arguments", ["a=1", '{"a": 1, "b": ', '{"a": 1', "[1, 2]"])
def test_malformed_or_cut_off_arguments_are_answered_with_an_error(
    engine_factory: EngineFactory, streamed: bool, arguments: str
) -> None:
    broken = Reply(malformed=[malformed_call("add", arguments, id="call_x")])
    with ScriptedChatModel([broken, "Sorry."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = go(talk, streamed=streamed)
    assert run.status == "completed"
    (made,) = talk.calls(run)
    assert made.id == "call_x"
    assert made.function.arguments == arguments
    assert str(made.function.output).startswith("Error: the arguments are not")
    seen = model.calls[1].messages[1]
    assert isinstance(seen, AIMessage)
    assert seen.invalid_tool_calls == []
    assert seen.tool_calls[0]["args"] == {}


@both_ways
def test_a_malformed_call_beside_good_ones(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    mixed = Reply(
        tool_calls=[
            call("add", {"a": 1, "b": 2}, id="call_1"),
            call("ask_user", {"question": "?"}, id="call_2"),
        ],
        malformed=[malformed_call("add", "a=1", id="call_3")],
    )
    with ScriptedChatModel([mixed, "Done."]) as model:
        talk = Dialogue(
            engine_factory(model, tools=[add]), executed=[add], functions=[ask_user]
        )
        waiting = go(talk, streamed=streamed)
        assert open_calls(waiting) == ["call_2"]
        run = talk.submit(waiting, {"call_2": "yes"})
    assert run.status == "completed"
    first, second, third = talk.outputs(run)
    assert (first, second) == ("3", "yes")
    assert str(third).startswith("Error: the arguments are not valid JSON")


@both_ways
def test_malformed_arguments_of_the_callers_function_never_reach_the_caller(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    broken = Reply(malformed=[malformed_call("ask_user", "question")])
    with ScriptedChatModel([broken, "Sorry."]) as model:
        talk = Dialogue(engine_factory(model), functions=[ask_user])
        assert go(talk, streamed=streamed).status == "completed"


@both_ways
def test_no_arguments_are_an_empty_object(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    def ping() -> str:
        """Ping."""
        return "pong"

    empty = Reply(malformed=[malformed_call("ping", "", id="call_p")])
    with ScriptedChatModel([empty, "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[ping]), executed=[ping])
        run = go(talk, streamed=streamed)
    (made,) = talk.calls(run)
    assert made.function.arguments == "{}"
    assert made.function.output == "pong"


# Ids and names.


@both_ways
def test_missing_ids_are_made(engine_factory: EngineFactory, streamed: bool) -> None:
    def answer(messages: Any, asked: Any) -> AIMessage:
        return AIMessage("", tool_calls=[call("ask_user"), call("ask_user")])

    class Nameless(ScriptedChatModel):
        """Makes calls without ids, as some providers do."""

        def _answer(self, *args: Any, **kwargs: Any) -> Any:
            message, reply = super()._answer(*args, **kwargs)
            message.tool_calls = [{**made, "id": None} for made in message.tool_calls]
            return message, reply

    with Nameless([answer, "Done."]) as model:
        talk = Dialogue(engine_factory(model), functions=[ask_user])
        waiting = go(talk, streamed=streamed)
        first, second = open_calls(waiting)
        assert first != second
        assert all(made.startswith("call_") for made in (first, second))
        run = talk.submit(waiting, {first: "a", second: "b"})
    assert run.status == "completed"
    assert talk.outputs(run) == ["a", "b"]


@both_ways
def test_an_id_given_twice_in_one_answer_is_replaced(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    twice = Reply(
        tool_calls=[
            call("add", {"a": 1, "b": 1}, id="call_same"),
            call("add", {"a": 2, "b": 2}, id="call_same"),
        ]
    )
    with ScriptedChatModel([twice, "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = go(talk, streamed=streamed)
    assert run.status == "completed"
    first, second = talk.calls(run)
    assert first.id == "call_same" != second.id
    assert talk.outputs(run) == ["2", "4"]


@both_ways
def test_an_id_given_again_in_a_later_answer_is_replaced(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    steps = [
        Reply(tool_calls=[call("add", {"a": n, "b": n}, id="call_0")]) for n in (1, 2)
    ]
    with ScriptedChatModel([*steps, "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = go(talk, streamed=streamed)
    assert run.status == "completed"
    assert talk.outputs(run) == ["2", "4"]
    assert len({made.id for made in talk.calls(run)}) == 2


def test_an_id_given_again_after_tool_outputs_is_replaced(
    engine_factory: EngineFactory,
) -> None:
    asks = Reply(tool_calls=[call("ask_user", id="call_0")])
    with ScriptedChatModel([asks, asks, "Done."]) as model:
        talk = Dialogue(engine_factory(model), functions=[ask_user])
        first = talk.ask("Go")
        second = talk.submit(first, {"call_0": "a"})
        (other,) = open_calls(second)
        assert other != "call_0"
        run = talk.submit(second, {other: "b"})
    assert talk.outputs(run) == ["a", "b"]


@both_ways
def test_one_function_called_several_times_in_one_answer(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    calls = [call("add", {"a": n, "b": 1}) for n in range(4)]
    with ScriptedChatModel([Reply(tool_calls=calls), "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = go(talk, streamed=streamed)
    assert talk.outputs(run) == ["1", "2", "3", "4"]


# Pieces.


def test_deltas_add_up_to_the_stored_message(engine_factory: EngineFactory) -> None:
    text = "The  quick\nbrown fox, žluťoučký, jumps."
    with ScriptedChatModel([text]) as model:
        talk = Dialogue(engine_factory(model))
        events = talk.hear("Go")
    assert heard_text(events) == talk.texts[-1] == text
    assert names(events).count("thread.message.delta") == 6
    assert model.calls[0].streaming


def test_without_a_listener_nothing_is_streamed(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["Hello there."]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask("Go")
    assert not model.calls[0].streaming
    assert talk.texts[-1] == "Hello there."


def test_only_the_first_piece_carries_annotations_and_a_call_its_id(
    engine_factory: EngineFactory,
) -> None:
    answer = Reply("Let me see", tool_calls=[call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([answer, "3"]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        events = talk.hear("Go")
    deltas = [e.data for e in events if e.event == "thread.message.delta"][:3]
    annotations = [d.delta.content[0].text.annotations for d in deltas]
    assert annotations == [[], None, None]
    pieces = [
        e.data.delta.step_details.tool_calls[0]
        for e in events
        if e.event == "thread.run.step.delta"
    ]
    assert [bool(piece.id) for piece in pieces] == [True, *[False] * (len(pieces) - 1)]


def test_call_deltas_add_up_to_the_stored_calls(engine_factory: EngineFactory) -> None:
    calls = [call("add", {"a": n, "b": n + 1}, id=f"call_{n}") for n in range(3)]
    with ScriptedChatModel([Reply(tool_calls=calls), "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        events = talk.hear("Go")
    stored = [
        (made.id, made.function.name, made.function.arguments)
        for made in talk.calls(ended(events))
    ]
    assert list(heard_calls(events).values()) == stored
    assert [json.loads(arguments)["a"] for _, _, arguments in stored] == [0, 1, 2]


def test_a_call_that_parallel_tool_calls_forbids_is_not_heard(
    engine_factory: EngineFactory,
) -> None:
    calls = [call("add", {"a": n, "b": n}, id=f"call_{n}") for n in range(2)]
    with ScriptedChatModel([Reply(tool_calls=calls), "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        events = talk.hear("Go", parallel_tool_calls=False)
    assert list(heard_calls(events)) == [0]
    assert [made.id for made in talk.calls(ended(events))] == ["call_0"]


def test_pieces_without_an_index_are_calls_of_their_own(
    engine_factory: EngineFactory,
) -> None:
    class Unnumbered(ScriptedChatModel):
        """Streams each call whole, without an index, as some providers do."""

        def _cut(self, message: AIMessage, reply: Reply) -> Any:
            for made in message.tool_calls:
                piece: Any = {
                    "name": made["name"],
                    "args": json.dumps(made["args"]),
                    "id": made["id"],
                    "index": None,
                    "type": "tool_call_chunk",
                }
                chunk = AIMessageChunk(content="", tool_call_chunks=[piece])
                yield ChatGenerationChunk(message=chunk)
            text = AIMessageChunk(content=message.content, chunk_position="last")
            yield ChatGenerationChunk(message=text)

    calls = [call("add", {"a": n, "b": n}, id=f"call_{n}") for n in range(2)]
    with Unnumbered([Reply(tool_calls=calls), "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        events = talk.hear("Go")
    assert talk.outputs(ended(events)) == ["0", "2"]


def test_every_step_and_message_that_began_has_ended(
    engine_factory: EngineFactory,
) -> None:
    answer = Reply("Let me see.", tool_calls=[call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([answer, "3"]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        assert_all_ended(talk.hear("Go"))


def test_an_answer_that_another_model_begins_again_stays_as_incomplete(
    engine_factory: EngineFactory,
) -> None:
    broken = Reply(
        "Half of",
        tool_calls=[call("add", {"a": 1, "b": 2}, id="call_1")],
        error=ValueError("broken"),
    )
    with ScriptedChatModel([broken]) as first, ScriptedChatModel(["Whole."]) as second:
        engine = engine_factory(first, tools=[add], model_fallbacks=[second])
        talk = Dialogue(engine, executed=[add])
        events = talk.hear("Go")
        run = ended(events)
    assert run.status == "completed"
    assert_all_ended(events)
    assert broken_invariants(engine) == []
    cut, whole = talk.messages[1:]
    assert (cut.text, cut.status) == ("Half of", "incomplete")
    assert (whole.text, whole.status) == ("Whole.", "completed")
    statuses = [step.status for step in talk.steps(run)]
    assert statuses == ["failed", "failed", "completed"]
    assert talk.outputs(run) == [None]


def test_content_blocks_are_heard_and_stored_as_text(
    engine_factory: EngineFactory,
) -> None:
    blocks: list[Any] = [
        {"type": "text", "text": "One. ", "index": 0},
        {"type": "text", "text": "Two.", "index": 1},
    ]
    with ScriptedChatModel([AIMessage(blocks), AIMessage(blocks)]) as model:
        talk = Dialogue(engine_factory(model))
        events = talk.hear("Go")
        talk.ask("Again")
    assert heard_text(events) == "One. Two."
    assert talk.texts[1::2] == ["One. Two.", "One. Two."]


# Refusals and empty answers.


@both_ways
def test_a_refusal_is_a_part_of_its_own(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel([Reply(refusal="I will not.")]) as model:
        talk = Dialogue(engine_factory(model))
        run = go(talk, streamed=streamed)
    assert run.status == "completed"
    (part,) = talk.messages[-1].content
    assert part.type == "refusal"
    assert part.refusal == "I will not."


def test_a_refusal_is_heard(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([Reply(refusal="I will not.")]) as model:
        events = Dialogue(engine_factory(model)).hear("Go")
    (delta,) = [e.data for e in events if e.event == "thread.message.delta"]
    assert delta.delta.content[0].refusal == "I will not."


@both_ways
def test_an_empty_answer_completes_the_run_without_a_message(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel([Reply("")]) as model:
        talk = Dialogue(engine_factory(model))
        run = go(talk, streamed=streamed)
    assert run.status == "completed"
    assert talk.texts == ["Go"]
    assert talk.steps(run) == []
