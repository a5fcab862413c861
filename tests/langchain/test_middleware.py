"""LangChain's own middleware around an assistant's runs, with the real classes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import AIMessage, ToolMessage
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, ended, heard_text, names, open_calls

from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.runs import Run


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def ask_user(question: str) -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


ADDS = Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])
PAYS = Reply(tool_calls=[call("pay", {"amount": 5}, id="call_pay")])


# Human in the loop.


def approvals(run: Run) -> list[Any]:
    """The open questions to a human."""
    assert run.required_action is not None
    assert run.required_action.type == "approval"
    assert run.required_action.approval is not None
    return list(run.required_action.approval.requests)


def decide(talk: Dialogue, run: Run, *decisions: dict[str, Any]) -> Run:
    """Answer the one open question to a human."""
    [request] = approvals(run)
    return talk.submit(run, {request.id: {"decisions": list(decisions)}})


def paying(
    engine_factory: EngineFactory, model: ScriptedChatModel, **options: Any
) -> Dialogue:
    middleware = HumanInTheLoopMiddleware({"pay": True}, **options)
    engine = engine_factory(model, tools=[pay, add], middleware=[middleware])
    return Dialogue(engine, executed=[pay, add], functions=[ask_user])


def test_an_approved_tool_is_executed(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([PAYS, "Done."]) as model:
        talk = paying(engine_factory, model)
        waiting = talk.ask("Pay 5")
        assert waiting.status == "requires_action"
        (request,) = approvals(waiting)
        assert request.value["action_requests"][0]["name"] == "pay"
        assert request.value["action_requests"][0]["args"] == {"amount": 5}
        run = decide(talk, waiting, {"type": "approve"})
    assert run.status == "completed"
    assert talk.outputs(run) == ["paid 5"]
    assert talk.texts == ["Pay 5", "Done."]


def test_an_approval_is_given_by_another_engine(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([PAYS, "Done."]) as model:
        talk = paying(engine_factory, model)
        waiting = talk.ask("Pay 5")
        talk.engine.close()
        talk.engine = engine_factory.reopen(
            model,
            tools=[pay, add],
            middleware=[HumanInTheLoopMiddleware({"pay": True})],
        )
        run = decide(talk, waiting, {"type": "approve"})
    assert run.status == "completed"
    assert talk.outputs(run) == ["paid 5"]


def test_an_edited_call_is_executed_as_edited(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([PAYS, "Done."]) as model:
        talk = paying(engine_factory, model)
        edited = {"name": "pay", "args": {"amount": 3}}
        run = decide(talk, talk.ask(), {"type": "edit", "edited_action": edited})
    assert run.status == "completed"
    assert "paid 3" in str(talk.outputs(run)[0])


def test_a_rejected_call_is_not_executed_and_the_model_hears_why(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([PAYS, "All right.", "Bye."]) as model:
        talk = paying(engine_factory, model)
        run = decide(talk, talk.ask(), {"type": "reject", "message": "too much"})
        assert run.status == "completed"
        (output,) = talk.outputs(run)
        assert output is not None
        assert "too much" in output
        assert {step.status for step in talk.steps(run)} == {"completed"}
        talk.ask("Thanks")
    told, later = model.calls[1].messages[-1], model.calls[2].messages[2]
    assert isinstance(told, ToolMessage)
    assert isinstance(later, ToolMessage)
    assert told.text == later.text == output


def test_a_rejected_call_beside_an_executed_one(engine_factory: EngineFactory) -> None:
    both = Reply(tool_calls=[*PAYS.tool_calls, *ADDS.tool_calls])
    with ScriptedChatModel([both, "All right."]) as model:
        talk = paying(engine_factory, model)
        run = decide(talk, talk.ask(), {"type": "reject", "message": "too much"})
    assert run.status == "completed"
    rejected, added = talk.outputs(run)
    assert "too much" in str(rejected)
    assert added == "3"


def test_a_rejected_call_beside_one_that_the_caller_executes(
    engine_factory: EngineFactory,
) -> None:
    asks = call("ask_user", {"question": "?"}, id="call_ask")
    both = Reply(tool_calls=[*PAYS.tool_calls, asks])
    with ScriptedChatModel([both, "All right."]) as model:
        talk = paying(engine_factory, model)
        waiting = decide(talk, talk.ask(), {"type": "reject", "message": "too much"})
        assert open_calls(waiting) == ["call_ask"]
        run = talk.submit(waiting, {"call_ask": "yes"})
    assert run.status == "completed"
    rejected, answered = talk.outputs(run)
    assert "too much" in str(rejected)
    assert answered == "yes"


def test_approval_comes_first_and_the_callers_functions_after_it(
    engine_factory: EngineFactory,
) -> None:
    asks = call("ask_user", {"question": "?"}, id="call_ask")
    both = Reply(tool_calls=[*PAYS.tool_calls, asks])
    with ScriptedChatModel([both, "All right."]) as model:
        talk = paying(engine_factory, model)
        first = talk.ask("Go")
        second = decide(talk, first, {"type": "approve"})
        assert second.status == "requires_action"
        assert open_calls(second) == ["call_ask"]
        run = talk.submit(second, {"call_ask": "yes"})
    assert run.status == "completed"
    assert talk.outputs(run) == ["paid 5", "yes"]
    assert model.calls[1].messages[-1].text == "yes"


def test_one_question_for_each_call(engine_factory: EngineFactory) -> None:
    twice = Reply(
        tool_calls=[call("pay", {"amount": 1}), call("pay", {"amount": 2})],
    )
    with ScriptedChatModel([twice, "Done."]) as model:
        talk = paying(engine_factory, model, interrupt_mode="per_call")
        waiting = talk.ask("Pay")
        requests = approvals(waiting)
        assert sorted(r.value["args"]["amount"] for r in requests) == [1, 2]
        answers = {
            request.id: {"type": "approve"}
            if request.value["args"]["amount"] == 1
            else {"type": "reject", "message": "no"}
            for request in requests
        }
        run = talk.submit(waiting, answers)
    assert run.status == "completed"
    paid, rejected = talk.outputs(run)
    assert paid == "paid 1"
    assert "no" in str(rejected)


def test_a_decision_that_is_not_allowed_fails_the_run_and_frees_the_thread(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([PAYS, "Hello."]) as model:
        talk = paying(engine_factory, model)
        run = decide(talk, talk.ask(), {"type": "shrug"})
        assert run.status == "failed"
        assert talk.ask("Again").status == "completed"


# Limits.


def test_the_model_call_limit_ends_the_run_with_its_message(
    engine_factory: EngineFactory,
) -> None:
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior="end")
    with ScriptedChatModel([ADDS]) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        talk = Dialogue(engine, executed=[add])
        events = talk.hear("1 + 2?")
    assert ended(events).status == "completed"
    (answer,) = talk.messages[1:]
    assert "limit" in answer.text
    assert heard_text(events) == answer.text


def test_the_model_call_limit_fails_the_run_where_asked(
    engine_factory: EngineFactory,
) -> None:
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior="error")
    with ScriptedChatModel([ADDS]) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        run = Dialogue(engine, executed=[add]).ask("1 + 2?")
    assert run.status == "failed"
    assert run.last_error is not None
    assert "Model call limits exceeded" in run.last_error.message


def test_the_limit_counts_the_calls_of_one_run(engine_factory: EngineFactory) -> None:
    limit = ModelCallLimitMiddleware(run_limit=2, exit_behavior="error")
    answers = [ADDS, "3", "Bye."]
    with ScriptedChatModel(answers) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        talk = Dialogue(engine, executed=[add])
        assert talk.ask("1 + 2?").status == "completed"
        assert talk.ask("Bye").status == "completed"


def test_a_blocked_tool_call_gets_the_limits_output(
    engine_factory: EngineFactory,
) -> None:
    limit = ToolCallLimitMiddleware(run_limit=1, exit_behavior="continue")
    both = Reply(
        tool_calls=[call("add", {"a": 1, "b": 2}), call("add", {"a": 3, "b": 4})]
    )
    with ScriptedChatModel([both, "One of them."]) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        talk = Dialogue(engine, executed=[add])
        run = talk.ask("Add")
    assert run.status == "completed"
    done, blocked = talk.outputs(run)
    assert done == "3"
    assert "limit" in str(blocked)
    assert {step.status for step in talk.steps(run)} == {"completed"}
    outputs = [m.text for m in model.calls[1].messages if isinstance(m, ToolMessage)]
    assert sorted(outputs) == sorted([done, str(blocked)])


def test_the_tool_call_limit_ends_the_run_with_its_message(
    engine_factory: EngineFactory,
) -> None:
    limit = ToolCallLimitMiddleware(run_limit=1, exit_behavior="end")
    again = Reply(tool_calls=[call("add", {"a": 3, "b": 4})])
    with ScriptedChatModel([ADDS, again, "Bye."]) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        talk = Dialogue(engine, executed=[add])
        run = talk.ask("Add")
        assert run.status == "completed"
        assert "limit" in talk.texts[-1]
        assert {step.status for step in talk.steps(run)} == {"completed"}
        assert all(output is not None for output in talk.outputs(run))
        talk.ask("Thanks")


def test_the_tool_call_limit_fails_the_run_where_asked(
    engine_factory: EngineFactory,
) -> None:
    limit = ToolCallLimitMiddleware(run_limit=1, exit_behavior="error")
    again = Reply(tool_calls=[call("add", {"a": 3, "b": 4})])
    with ScriptedChatModel([ADDS, again]) as model:
        engine = engine_factory(model, tools=[add], middleware=[limit])
        run = Dialogue(engine, executed=[add]).ask("Add")
    assert run.status == "failed"
    assert run.last_error is not None
    assert "Tool call limit" in run.last_error.message


# Tools that middleware brings, and tools that fail.


def test_todo_lists_work_and_their_calls_are_steps(
    engine_factory: EngineFactory,
) -> None:
    todos = [{"content": "add", "status": "in_progress"}]
    plans = Reply(tool_calls=[call("write_todos", {"todos": todos})])
    with ScriptedChatModel([plans, ADDS, "Done.", "Bye."]) as model:
        engine = engine_factory(model, tools=[add], middleware=[TodoListMiddleware()])
        talk = Dialogue(engine, executed=[add], instructions="Be good.")
        run = talk.ask("Plan and add")
        assert run.status == "completed"
        assert [c.function.name for c in talk.calls(run)] == ["write_todos", "add"]
        assert "Updated todo list" in str(talk.outputs(run)[0])
        talk.ask("Thanks")
    systems = [m for m in model.calls[0].messages if m.type == "system"]
    assert len(systems) == 1
    assert "Be good." in systems[0].text
    assert "write_todos" in systems[0].text
    assert "write_todos" in model.calls[0].tool_names


def test_parallel_todo_lists_are_refused_by_an_output_each(
    engine_factory: EngineFactory,
) -> None:
    todos = {"todos": [{"content": "x", "status": "pending"}]}
    twice = Reply(tool_calls=[call("write_todos", todos), call("write_todos", todos)])
    with ScriptedChatModel([twice, "Sorry."]) as model:
        talk = Dialogue(engine_factory(model, middleware=[TodoListMiddleware()]))
        run = talk.ask("Plan")
    assert run.status == "completed"
    assert all("multiple times" in str(output) for output in talk.outputs(run))
    assert {step.status for step in talk.steps(run)} == {"completed"}


def test_a_tool_is_tried_again_and_recorded_once(engine_factory: EngineFactory) -> None:
    attempts = itertools.count(1)

    def flaky() -> str:
        """Fail once."""
        if next(attempts) == 1:
            raise ConnectionError("lost")
        return "found"

    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    with ScriptedChatModel([Reply(tool_calls=[call("flaky")]), "Good."]) as model:
        engine = engine_factory(model, tools=[flaky], middleware=[retry])
        talk = Dialogue(engine, executed=[flaky])
        run = talk.ask("Go")
    assert run.status == "completed"
    assert talk.outputs(run) == ["found"]
    assert next(attempts) == 3


def test_a_model_is_tried_again_and_counted_once(
    engine_factory: EngineFactory,
) -> None:
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    usage = {"input_tokens": 10, "output_tokens": 2}
    steps = [RuntimeError("glitch"), Reply("Here.", usage=usage)]
    with ScriptedChatModel(steps) as model:
        talk = Dialogue(engine_factory(model, middleware=[retry]))
        events = talk.hear("Go")
    run = ended(events)
    assert run.status == "completed"
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (10, 2)
    assert talk.texts == ["Go", "Here."]
    assert heard_text(events) == "Here."


def test_a_model_that_keeps_failing_leaves_the_retrys_message(
    engine_factory: EngineFactory,
) -> None:
    retry = ModelRetryMiddleware(
        max_retries=1, initial_delay=0, jitter=False, on_failure="continue"
    )
    with ScriptedChatModel([RuntimeError("one"), RuntimeError("two")]) as model:
        talk = Dialogue(engine_factory(model, middleware=[retry]))
        run = talk.ask("Go")
    assert run.status == "completed"
    assert "failed after 2 attempts" in talk.texts[-1]


def test_a_fallback_model_answers(engine_factory: EngineFactory) -> None:
    spare = ScriptedChatModel(["From the spare."])
    with ScriptedChatModel([ValueError("down")]) as model, spare:
        engine = engine_factory(model, middleware=[ModelFallbackMiddleware(spare)])
        talk = Dialogue(engine)
        events = talk.hear("Go")
    assert talk.texts == ["Go", "From the spare."]
    assert heard_text(events) == "From the spare."


# What the model is shown.


def test_context_editing_clears_old_outputs_for_the_model_only(
    engine_factory: EngineFactory,
) -> None:
    edit = ClearToolUsesEdit(trigger=1, keep=1, placeholder="[cleared]")
    again = Reply(tool_calls=[call("add", {"a": 3, "b": 4}, id="call_again")])
    with ScriptedChatModel([ADDS, again, "3 and 7."]) as model:
        engine = engine_factory(
            model, tools=[add], middleware=[ContextEditingMiddleware(edits=[edit])]
        )
        talk = Dialogue(engine, executed=[add])
        run = talk.ask("Add")
    seen = [m.text for m in model.calls[-1].messages if isinstance(m, ToolMessage)]
    assert seen == ["[cleared]", "7"]
    assert talk.outputs(run) == ["3", "7"]


def test_a_tool_selector_narrows_what_the_model_is_offered(
    engine_factory: EngineFactory,
) -> None:
    selects = Reply(tool_calls=[call("ToolSelectionResponse", {"tools": ["add"]})])
    selector = ScriptedChatModel([selects, selects])
    with selector, ScriptedChatModel([ADDS, "3"]) as model:
        middleware = LLMToolSelectorMiddleware(model=selector, max_tools=1)
        engine = engine_factory(model, tools=[add, multiply], middleware=[middleware])
        talk = Dialogue(engine, executed=[add, multiply])
        events = talk.hear("1 + 2?")
    assert ended(events).status == "completed"
    assert model.calls[0].tool_names == ["add"]
    assert heard_text(events) == "3"  # nobody hears the selector
    assert names(events).count("thread.run.step.created") == 2


def test_a_summary_is_written_by_the_real_middleware_and_heard_by_nobody(
    engine_factory: EngineFactory,
) -> None:
    summariser = ScriptedChatModel(["The gist."])
    middleware = SummarizationMiddleware(
        summariser, trigger=("messages", 3), keep=("messages", 1)
    )
    with summariser, ScriptedChatModel(["1", "2"]) as model:
        talk = Dialogue(engine_factory(model, middleware=[middleware]))
        talk.ask("a")
        events = talk.hear("b")
    assert heard_text(events) == "2"
    assert "The gist." in model.calls[-1].messages[0].text
    assert talk.texts == ["a", "1", "b", "2"]


@pytest.mark.parametrize("strategy", ["redact", "mask", "hash"])
def test_personal_data_in_the_input_never_reaches_the_model(
    engine_factory: EngineFactory, strategy: Any
) -> None:
    with ScriptedChatModel(["Noted."]) as model:
        engine = engine_factory(
            model, middleware=[PIIMiddleware("email", strategy=strategy)]
        )
        Dialogue(engine).ask("I am ann@example.com")
    assert "ann@example.com" not in model.calls[0].messages[0].text


def test_blocked_personal_data_fails_the_run(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([]) as model:
        engine = engine_factory(
            model, middleware=[PIIMiddleware("email", strategy="block")]
        )
        run = Dialogue(engine).ask("I am ann@example.com")
    assert run.status == "failed"
    assert run.last_error is not None
    assert "ann@example.com" not in run.last_error.message


def test_personal_data_in_the_answer_is_not_stored(
    engine_factory: EngineFactory,
) -> None:
    middleware = PIIMiddleware("email", apply_to_output=True, apply_to_input=False)
    with ScriptedChatModel(["Write to bob@example.com.", "Bye."]) as model:
        talk = Dialogue(engine_factory(model, middleware=[middleware]))
        run = talk.ask("Whom do I write to?")
        assert run.status == "completed"
        talk.ask("Thanks")
    assert talk.texts[1] == "Write to [REDACTED_EMAIL]."
    seen = model.calls[-1].messages[1]
    assert isinstance(seen, AIMessage)
    assert seen.text == "Write to [REDACTED_EMAIL]."


def test_personal_data_in_a_tools_output_never_reaches_the_model(
    engine_factory: EngineFactory,
) -> None:
    def look_up() -> str:
        """Look somebody up."""
        return "bob@example.com"

    middleware = PIIMiddleware("email", apply_to_tool_results=True)
    looks = Reply(tool_calls=[call("look_up")])
    with ScriptedChatModel([looks, "Found.", "Bye."]) as model:
        engine = engine_factory(model, tools=[look_up], middleware=[middleware])
        talk = Dialogue(engine, executed=[look_up])
        talk.ask("Who?")
        talk.ask("Thanks")
    for asked in model.calls[1:]:
        outputs = [m.text for m in asked.messages if isinstance(m, ToolMessage)]
        assert outputs == ["[REDACTED_EMAIL]"]
