"""What a run leaves of its answers: usage, budgets, reasons, structured output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, assert_all_ended, ended, heard_text, names
from tests.stored import broken_invariants

from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.runs import Run


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str = "?") -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


def used(prompt: int, completion: int) -> dict[str, int]:
    """The usage of a reply."""
    return {"input_tokens": prompt, "output_tokens": completion}


def reason(run: Run) -> str | None:
    """Why a run is incomplete."""
    return run.incomplete_details and run.incomplete_details.reason


ADDS = Reply(
    tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")], usage=used(300, 20)
)


# Usage.


def test_the_usage_of_the_steps_sums_to_the_runs(engine_factory: EngineFactory) -> None:
    talkative = Reply(
        "Let me see.", tool_calls=[call("add", {"a": 1, "b": 2})], usage=used(10, 5)
    )
    steps = [talkative, ADDS, Reply("3", usage=used(400, 7))]
    with ScriptedChatModel(steps) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = talk.ask("Go")
    assert run.usage is not None
    assert run.usage.model_dump() == {
        "prompt_tokens": 710,
        "completion_tokens": 32,
        "total_tokens": 742,
    }
    found = [step.usage for step in talk.steps(run)]
    assert sum(usage.prompt_tokens for usage in found if usage) == 710
    assert sum(usage.completion_tokens for usage in found if usage) == 32
    assert len(found) == 4
    assert None not in found


def test_usage_goes_on_after_tool_outputs(engine_factory: EngineFactory) -> None:
    asks = Reply(tool_calls=[call("ask_user", id="call_q")], usage=used(10, 5))
    with ScriptedChatModel([asks, Reply("Done.", usage=used(20, 3))]) as model:
        talk = Dialogue(engine_factory(model), functions=[ask_user])
        waiting = talk.ask("Go")
        assert waiting.usage is not None
        assert waiting.usage.total_tokens == 15
        run = talk.submit(waiting, {"call_q": "yes"})
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (30, 8)


def test_a_model_that_reports_no_usage_counts_nothing(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([Reply("Hello.", usage={})]) as model:
        run = Dialogue(engine_factory(model)).ask("Go")
    assert run.status == "completed"
    assert run.usage is not None
    assert run.usage.total_tokens == 0


# Budgets and reasons.


def test_a_used_up_completion_budget_ends_the_run_before_its_tools(
    engine_factory: EngineFactory,
) -> None:
    executed: list[int] = []

    def count() -> str:
        """Count."""
        executed.append(1)
        return "counted"

    greedy = Reply("I count.", tool_calls=[call("count")], usage=used(10, 256))
    with ScriptedChatModel([greedy, "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[count]), executed=[count])
        run = talk.ask("Go", max_completion_tokens=256)
        assert run.status == "incomplete"
        assert reason(run) == "max_completion_tokens"
        assert executed == []
        assert talk.messages[-1].status == "incomplete"
        details = talk.messages[-1].incomplete_details
        assert details is not None
        assert details.reason == "max_tokens"
        assert talk.ask("Bye").status == "completed"


def test_a_completion_budget_ends_the_run_between_two_answers(
    engine_factory: EngineFactory,
) -> None:
    first = Reply(tool_calls=ADDS.tool_calls, usage=used(10, 200))
    second = Reply(tool_calls=[call("add", {"a": 3, "b": 4})], usage=used(10, 100))
    with ScriptedChatModel([first, second]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = talk.ask("Go", max_completion_tokens=256)
    assert run.status == "incomplete"
    assert reason(run) == "max_completion_tokens"
    assert run.usage is not None
    assert run.usage.completion_tokens == 300
    assert talk.outputs(run) == ["3", None]
    assert [step.status for step in talk.steps(run)] == ["completed", "cancelled"]


def test_a_final_answer_within_the_budget_completes(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([Reply("Done.", usage=used(256, 256))]) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("Go", max_completion_tokens=256, max_prompt_tokens=256)
    assert run.status == "completed"
    assert talk.messages[-1].status == "completed"


def test_a_used_up_prompt_budget_ends_the_run(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([ADDS]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = talk.ask("Go", max_prompt_tokens=256)
    assert run.status == "incomplete"
    assert reason(run) == "max_prompt_tokens"


def test_a_prompt_budget_that_nothing_fits_into_ends_the_run_with_its_tools_done(
    engine_factory: EngineFactory,
) -> None:
    almost = Reply(tool_calls=ADDS.tool_calls, usage=used(298, 5))
    with ScriptedChatModel([almost]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = talk.ask("Go", max_prompt_tokens=300)
    assert run.status == "incomplete"
    assert reason(run) == "max_prompt_tokens"
    assert talk.outputs(run) == ["3"]
    assert {step.status for step in talk.steps(run)} == {"completed"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_an_answer_cut_off_by_its_length_is_incomplete(
    engine_factory: EngineFactory, finish: str, streamed: bool
) -> None:
    cut = Reply("It was a dark and", finish_reason=finish)
    with ScriptedChatModel([cut]) as model:
        talk = Dialogue(engine_factory(model))
        run = ended(talk.hear("Go")) if streamed else talk.ask("Go")
    assert run.status == "incomplete"
    assert reason(run) == "max_completion_tokens"
    message = talk.messages[-1]
    assert message.text == "It was a dark and"
    assert message.status == "incomplete"
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == "max_tokens"


def test_every_step_that_was_heard_ends_where_a_budget_ends_the_run(
    engine_factory: EngineFactory,
) -> None:
    greedy = Reply("I add.", tool_calls=ADDS.tool_calls, usage=used(10, 300))
    with ScriptedChatModel([greedy, "Bye."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        events = talk.hear("Go", max_completion_tokens=256)
        talk.ask("Bye")
    assert ended(events).status == "incomplete"
    assert_all_ended(events)
    assert broken_invariants(talk.engine) == []
    begun = {e.data.id for e in events if e.event == "thread.run.step.created"}
    assert begun == {step.id for step in talk.steps(ended(events))}
    assert names(events).count("thread.message.incomplete") == 1


def test_a_filtered_answer_completes_the_run_with_an_incomplete_message(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([Reply("Half a", finish_reason="content_filter")]) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("Go")
    assert run.status == "completed"
    message = talk.messages[-1]
    assert message.status == "incomplete"
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == "content_filter"


# Structured output.

SCHEMA = {
    "name": "Point",
    "description": "A point of the plane.",
    "schema": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["x", "y"],
        "additionalProperties": False,
    },
}
POINT = {"type": "json_schema", "json_schema": SCHEMA}
NATIVE: dict[str, Any] = {"structured_output": True}
ANSWER = '{"x": 1, "y": 2}'

both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "pieces"])


def ask(talk: Dialogue, *, streamed: bool, **run: Any) -> Run:
    """Run on "Go"; what was heard is what is stored."""
    if not streamed:
        return talk.ask("Go", **run)
    events = talk.hear("Go", **run)
    stored = [m.text for m in talk.messages if m.run_id == ended(events).id]
    assert heard_text(events) == "".join(stored)
    return ended(events)


@both_ways
def test_json_object_mode_asks_a_model_without_it_in_words(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel(['{"a": 1}', '{"b": 2}']) as model:
        talk = Dialogue(engine_factory(model), response_format={"type": "json_object"})
        assert ask(talk, streamed=streamed).status == "completed"
        run = ask(talk, streamed=streamed, instructions="Be brief.")
    assert run.response_format == {"type": "json_object"}
    order = "Answer with one JSON object and nothing else."
    assert model.calls[0].messages[0].text == order
    assert model.calls[1].messages[0].text == f"Be brief.\n\n{order}"
    assert talk.texts[1::2] == ['{"a": 1}', '{"b": 2}']


@both_ways
def test_a_schema_is_native_where_the_models_profile_says_so(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel([ANSWER], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model))
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "completed"
    assert talk.texts[-1] == ANSWER
    bound = model.calls[0].response_format
    assert bound["type"] == "json_schema"
    assert bound["json_schema"]["name"] == "Point"
    assert model.calls[0].tools == []


@both_ways
def test_a_schema_becomes_a_tool_where_the_model_has_no_native_support(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    answers = Reply(tool_calls=[call("Point", {"x": 1, "y": 2})], usage=used(10, 5))
    with ScriptedChatModel([answers, "Bye."]) as model:
        talk = Dialogue(engine_factory(model))
        run = ask(talk, streamed=streamed, response_format=POINT)
        assert run.status == "completed"
        assert json.loads(talk.texts[-1]) == {"x": 1, "y": 2}
        (step,) = talk.steps(run)
        assert step.type == "message_creation"
        assert step.usage is not None
        assert step.usage.total_tokens == 15
        talk.ask("Thanks")
    [offered] = model.calls[0].tools
    assert offered["function"]["name"] == "Point"
    assert offered["function"]["description"] == "A point of the plane."
    assert model.calls[0].tool_choice == "any"
    assert [m.type for m in model.calls[1].messages] == ["human", "ai", "human"]


@both_ways
def test_tools_come_before_a_structured_answer(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    answers = Reply(tool_calls=[call("Point", {"x": 1, "y": 2})])
    with ScriptedChatModel([ADDS, answers]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "completed"
    assert talk.outputs(run) == ["3"]
    assert json.loads(talk.texts[-1]) == {"x": 1, "y": 2}
    assert [step.type for step in talk.steps(run)] == ["tool_calls", "message_creation"]


@both_ways
def test_tools_come_before_a_native_structured_answer(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel([ADDS, ANSWER], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "completed"
    assert talk.outputs(run) == ["3"]
    assert talk.texts[-1] == ANSWER


@both_ways
@pytest.mark.parametrize("text", ["not JSON", '{"x": 1', "[]"])
def test_a_native_answer_that_breaks_its_schema_is_stored_as_it_is(
    engine_factory: EngineFactory, streamed: bool, text: str
) -> None:
    with ScriptedChatModel([text], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model))
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "completed"
    assert talk.texts[-1] == text


@both_ways
def test_a_native_answer_cut_off_by_its_length_is_incomplete(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    cut = Reply('{"x": 1', finish_reason="length")
    with ScriptedChatModel([cut], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model))
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "incomplete"
    assert talk.messages[-1].status == "incomplete"


@both_ways
def test_a_model_may_refuse_a_structured_answer(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    with ScriptedChatModel([Reply(refusal="No.")], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model))
        run = ask(talk, streamed=streamed, response_format=POINT)
    assert run.status == "completed"
    (part,) = talk.messages[-1].content
    assert part.type == "refusal"


def test_a_runs_response_format_wins_over_the_assistants(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["plain"], profile=NATIVE) as model:
        talk = Dialogue(engine_factory(model), response_format=POINT)
        run = talk.ask("Go", response_format={"type": "text"})
    assert run.status == "completed"
    assert model.calls[0].response_format is None


def test_text_beside_a_structured_answer_is_not_doubled(
    engine_factory: EngineFactory,
) -> None:
    answers = AIMessage("Here.", tool_calls=[call("Point", {"x": 1, "y": 2})])
    with ScriptedChatModel([answers]) as model:
        talk = Dialogue(engine_factory(model))
        talk.ask("Go", response_format=POINT)
    assert json.loads(talk.texts[-1]) == {"x": 1, "y": 2}


@both_ways
def test_a_structured_answer_that_does_not_fit_is_asked_for_again(
    engine_factory: EngineFactory, streamed: bool
) -> None:
    wrong = Reply(
        tool_calls=[
            call("Point", {"x": 1, "y": 2}, id="call_1"),
            call("Point", {"x": 3, "y": 4}, id="call_2"),
        ],
        usage=used(10, 5),
    )
    right = Reply(tool_calls=[call("Point", {"x": 5, "y": 6})], usage=used(20, 7))
    with ScriptedChatModel([wrong, right]) as model:
        talk = Dialogue(engine_factory(model))
        events = talk.hear("Go", response_format=POINT) if streamed else []
        run = ended(events) if streamed else talk.ask("Go", response_format=POINT)
    assert run.status == "completed"
    assert json.loads(talk.texts[-1]) == {"x": 5, "y": 6}
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (30, 12)
    assert broken_invariants(talk.engine) == []
    assert_all_ended(events)
    expected = ["incomplete", "completed"] if streamed else ["completed"]
    assert [message.status for message in talk.messages[1:]] == expected


def test_a_structured_answer_that_uses_up_its_budget_is_not_asked_for_again(
    engine_factory: EngineFactory,
) -> None:
    wrong = Reply(
        tool_calls=[call("Point", {"x": 1}), call("Point", {"x": 2})],
        usage=used(10, 300),
    )
    with ScriptedChatModel([wrong]) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("Go", response_format=POINT, max_completion_tokens=256)
    assert run.status == "incomplete"
    assert reason(run) == "max_completion_tokens"
