"""The hosted code interpreter in runs: sessions, files, outputs and annotations."""

from __future__ import annotations

from typing import Any

import pytest
from tests.acceptance.engine_program import look_again
from tests.conftest import EngineFactory
from tests.conversations import (
    data_of,
    function,
    names,
    outputs,
    thread_with,
    user,
    wait,
)
from tests.sandbox import PNG, Sandbox, Sandboxes

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types import Assistant, Run, Thread

HOSTED = {"type": "code_interpreter"}


def code(*lines: str, id: str | None = None) -> Any:
    return call("code_interpreter", {"code": "\n".join(lines)}, id)


def runs(*lines: str) -> Reply:
    """An answer that executes code."""
    return Reply(tool_calls=[code(*lines)])


class Scene:
    """An assistant with the code interpreter, and one thread."""

    def __init__(
        self,
        engine_factory: EngineFactory,
        *script: Any,
        files: tuple[str, ...] = (),
        **engine: Any,
    ) -> None:
        self.model = ScriptedChatModel(list(script))
        self.sandboxes = Sandboxes()
        self.engine: AssistantsEngine = engine_factory(
            self.model, **{"interpreter": self.sandboxes, **engine}
        )
        ids = [self.file(name) for name in files]
        self.assistant: Assistant = self.engine.assistants.create(
            model="m",
            tools=[HOSTED],
            tool_resources={"code_interpreter": {"file_ids": ids}},
        )
        self.thread: Thread = thread_with(self.engine)

    def file(self, name: str, content: bytes = b"1,2") -> str:
        return self.engine.files.create(file=(name, content), purpose="assistants").id

    def ask(self, text: str = "Go", **message: Any) -> Run:
        self.engine.messages.create(self.thread.id, **user(text), **message)
        run = self.engine.runs.create(self.thread.id, assistant_id=self.assistant.id)
        return wait(self.engine, run)

    def call_of(self, run: Run) -> Any:
        """The details of the run's newest call."""
        steps = self.engine.steps.list(run.id, order="desc")
        found = next(s for s in steps if s.type == "tool_calls")
        return found.step_details.tool_calls[-1].code_interpreter

    def answer(self) -> Any:
        return next(iter(self.engine.messages.list(self.thread.id)))

    def seen(self, turn: int = -1) -> str:
        """What the model saw of the newest call."""
        return str(self.model.calls[turn].messages[-1].content)


def test_code_is_executed_and_its_outputs_are_in_the_step(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, runs("print(6 * 7)"), "It is 42.")
    run = scene.ask()
    assert run.status == "completed"
    details = scene.call_of(run)
    assert details.input == "print(6 * 7)"
    assert [(o.type, o.logs) for o in details.outputs] == [("logs", "42\n")]
    assert scene.seen() == "42\n"
    assert scene.answer().text == "It is 42."
    assert run.usage is not None
    assert run.usage.interpreter_seconds is not None


def test_variables_live_from_run_to_run_of_a_thread_only(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(
        engine_factory,
        runs("x = 5"),
        "ok",
        runs("print(x)"),
        "5",
        runs("print(x)"),
        "?",
    )
    scene.ask()
    assert scene.call_of(scene.ask()).outputs[0].logs == "5\n"
    scene.thread = thread_with(scene.engine)
    assert "NameError" in scene.call_of(scene.ask()).outputs[0].logs
    assert len(scene.sandboxes.started) == 2


def test_code_that_fails_is_seen_by_the_model_which_tries_again(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, runs("1 / 0"), runs("print(1)"), "One.")
    run = scene.ask()
    assert run.status == "completed"
    assert "ZeroDivisionError: division by zero" in scene.seen(1)
    assert scene.call_of(run).outputs[0].logs == "1\n"


def test_the_wire_hears_the_original_order(engine_factory: EngineFactory) -> None:
    link = "sandbox:/mnt/data/out.csv"
    scene = Scene(
        engine_factory,
        runs("print('hi')", "show()", "write('/mnt/data/out.csv', 'a')"),
        f"Here: {link}.",
    )
    scene.engine.messages.create(scene.thread.id, **user("Go"))
    events = list(
        scene.engine.runs.stream(scene.thread.id, assistant_id=scene.assistant.id)
    )
    assert names(events) == [
        "run.created",
        "run.queued",
        "run.in_progress",
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.step.completed",
        "run.step.created",
        "run.step.in_progress",
        "message.created",
        "message.in_progress",
        "message.delta",
        "message.completed",
        "run.step.completed",
        "run.completed",
    ]
    deltas = [
        e.data.model_dump(mode="json")["delta"]["step_details"]["tool_calls"][0]
        for e in events
        if e.event == "thread.run.step.delta"
    ]
    first, *pieces = [delta["code_interpreter"] for delta in deltas]
    assert first == {"input": "", "outputs": []}
    written = [piece["input"] for piece in pieces if "input" in piece]
    told = [piece["outputs"] for piece in pieces if "outputs" in piece]
    assert "".join(written) == scene.call_of(scene_run(scene)).input
    made = data_of(events, "message.completed")
    picture, text = made.content
    assert told == [
        [{"index": 0, "type": "logs", "logs": "hi\n"}],
        [
            {
                "index": 1,
                "type": "image",
                "image": {"file_id": picture.image_file.file_id},
            }
        ],
    ]
    [mark] = text.text.annotations
    value = text.text.value
    assert value[mark.start_index : mark.end_index] == mark.text == link
    file = scene.engine.files.retrieve(mark.file_path.file_id)
    assert (file.filename, file.purpose) == ("out.csv", "assistants_output")
    assert scene.engine.files.content(file.id) == b"a"
    assert scene.engine.files.content(picture.image_file.file_id) == PNG
    assert [a.file_id for a in made.attachments] == [file.id]
    parts = [
        part
        for e in events
        if e.event == "thread.message.delta"
        for part in e.data.model_dump(mode="json")["delta"]["content"]
    ]
    assert parts[0]["type"] == "image_file"
    assert {part["index"] for part in parts[1:]} == {1}
    assert "".join(part["text"]["value"] for part in parts[1:]) == value


def scene_run(scene: Scene) -> Run:
    return next(iter(scene.engine.runs.list(scene.thread.id)))


def test_files_of_assistant_thread_and_messages_are_there(
    engine_factory: EngineFactory,
) -> None:
    paths = [f"/mnt/data/{name}" for name in ("a.csv", "t.csv", "m.csv", "m-2.csv")]
    reads = [f"print(read('{path}'))" for path in paths]
    scene = Scene(engine_factory, runs(*reads), "ok", files=("a.csv",))
    scene.thread = scene.engine.threads.create(
        tool_resources={
            "code_interpreter": {"file_ids": [scene.file("t.csv", b"of the thread")]}
        }
    )
    attached = [scene.file("m.csv", b"first"), scene.file("m.csv", b"second")]
    run = scene.ask(attachments=[{"file_id": i, "tools": [HOSTED]} for i in attached])
    assert scene.call_of(run).outputs[0].logs == "1,2\nof the thread\nfirst\nsecond\n"
    prompt = str(scene.model.calls[0].messages[0].content)
    assert "t.csv" in prompt
    assert attached[0] in prompt
    # Nothing of them was written by the code.
    assert scene.call_of(run).files is None


def test_a_changed_file_becomes_a_new_one_and_the_stored_one_stays(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(
        engine_factory,
        runs("write('/mnt/data/a.csv', 'changed')"),
        "Changed sandbox:/mnt/data/a.csv",
        "Again: sandbox:/mnt/data/a.csv",
        files=("a.csv",),
    )
    run = scene.ask()
    [made] = scene.call_of(run).files
    assert scene.engine.files.content(made.file_id) == b"changed"
    scene.ask()  # without code: the link of an earlier run is known
    [mark] = scene.answer().content[0].text.annotations
    assert mark.file_path.file_id == made.file_id


def test_a_picture_that_is_only_written_is_shown(engine_factory: EngineFactory) -> None:
    scene = Scene(
        engine_factory, runs("write('/mnt/data/chart.png', b'...')"), "A chart."
    )
    run = scene.ask()
    [made] = scene.call_of(run).files
    assert scene.answer().content[0].image_file.file_id == made.file_id
    assert scene.call_of(run).outputs[-1].image.file_id == made.file_id


def test_a_lost_session_gets_its_files_again_and_the_model_is_told(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(
        engine_factory,
        runs("x = 1", "write('/mnt/data/out.csv', 'kept')"),
        runs("die()"),
        runs("print(read('/mnt/data/out.csv'))"),
        "ok",
        files=("a.csv",),
    )
    run = scene.ask()
    assert run.status == "completed"
    assert "the sandbox is gone" in scene.seen(2)
    assert "state_lost" in scene.seen(3)
    assert scene.call_of(run).outputs[0].logs == "kept\n"
    [living] = scene.sandboxes.living.values()
    assert set(living.files) == {"/mnt/data/a.csv", "/mnt/data/out.csv"}


def test_another_engine_goes_on_with_the_session(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, runs("x = 7"), "ok")
    scene.ask()
    scene.model = ScriptedChatModel([runs("print(x)"), "7"])
    scene.engine = engine_factory.reopen(scene.model, interpreter=scene.sandboxes)
    assert scene.call_of(scene.ask()).outputs[0].logs == "7\n"
    assert len(scene.sandboxes.started) == 1


def test_a_run_taken_over_executes_no_finished_call_again_and_shows_its_pictures(
    engine_factory: EngineFactory,
) -> None:
    both = Reply(tool_calls=[code("show()", id="call_a"), code("hang()", id="call_b")])
    brief = Settings(lease=1.0)
    scene = Scene(engine_factory, both, "never", settings=brief)
    scene.engine.messages.create(scene.thread.id, **user("Go"))
    run = scene.engine.runs.create(scene.thread.id, assistant_id=scene.assistant.id)
    while "hang()" not in scene.sandboxes.executed:
        look_again()
    scene.engine._heartbeat.stop()  # as if its process were frozen
    scene.sandboxes.hangs = False
    scene.engine = engine_factory.reopen(
        ["Done."], interpreter=scene.sandboxes, settings=brief
    )
    assert wait(scene.engine, run).status == "completed"
    assert scene.sandboxes.executed == ["show()", "hang()", "hang()"]
    [step] = [s for s in scene.engine.steps.list(run.id) if s.type == "tool_calls"]
    shown, went = (c.code_interpreter.outputs for c in step.step_details.tool_calls)
    assert went[0].logs == "It went on.\n"
    picture, text = scene.answer().content
    assert picture.image_file.file_id == shown[0].image.file_id
    assert text.text.value == "Done."


def test_code_that_never_ends_is_stopped_and_the_thread_goes_on(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(
        engine_factory,
        runs("hang()"),
        "ok",
        settings=Settings(interpreter_timeout=0.01),
    )
    run = scene.ask()
    assert run.status == "completed"
    assert "stopped after 0.01 seconds" in scene.seen()


def test_a_cancelled_run_interrupts_its_code(engine_factory: EngineFactory) -> None:
    scene = Scene(engine_factory, runs("hang()"), "never")
    scene.engine.messages.create(scene.thread.id, **user("Go"))
    run = scene.engine.runs.create(scene.thread.id, assistant_id=scene.assistant.id)
    while "hang()" not in scene.sandboxes.executed:
        look_again()
    scene.engine.runs.cancel(run.id)
    assert wait(scene.engine, run).status == "cancelled"
    [session] = scene.sandboxes.living.values()
    assert session.interrupted
    assert scene.call_of(run).outputs == []


def test_both_kinds_of_calls_in_one_answer(engine_factory: EngineFactory) -> None:
    both = Reply(
        tool_calls=[code("print(1)", id="call_code"), call("look_up", {}, "f")]
    )
    scene = Scene(engine_factory, both, "Done.")
    tools = [HOSTED, function("look_up")]
    scene.assistant = scene.engine.assistants.create(model="m", tools=tools)
    run = scene.ask()
    assert run.status == "requires_action"
    [step] = scene.engine.steps.list(run.id)
    hosted, own = step.step_details.tool_calls
    assert hosted.code_interpreter.outputs[0].logs == "1\n"
    assert own.function.output is None
    scene.engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("f"))
    assert wait(scene.engine, run).status == "completed"
    assert len(scene.sandboxes.started) == 1
    seen = [str(m.content) for m in scene.model.calls[1].messages[-2:]]
    assert seen == ["1\n", "output of f"]


def test_history_shows_code_and_outputs_of_earlier_runs(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, runs("print(1)"), "One.", "Hello.")
    scene.ask()
    scene.ask("And?")
    _, asked, printed, *_ = scene.model.calls[2].messages
    assert asked.tool_calls[0]["args"] == {"code": "print(1)"}
    assert printed.content == "1\n"


def test_without_a_provider_a_run_fails_and_says_what_to_configure(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, "never", interpreter=None)
    run = scene.ask()
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == "server_error"
    assert "AssistantsEngine(interpreter=" in run.last_error.message


def test_a_sandbox_that_cannot_be_had_fails_the_run(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(engine_factory, runs("1"), "never")

    async def start(sandbox: Sandbox) -> str:
        raise ConfigurationError("No jail works on this machine.")

    monkeypatch.setattr(Sandbox, "start", start)
    run = scene.ask()
    assert run.status == "failed"
    assert run.last_error is not None
    assert "No jail works on this machine." in run.last_error.message


def test_a_function_cannot_have_the_name_of_a_hosted_tool(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, "never")
    tools = [HOSTED, function("code_interpreter")]
    scene.assistant = scene.engine.assistants.create(model="m", tools=tools)
    run = scene.ask()
    assert run.last_error is not None
    assert "give it another name" in run.last_error.message


@pytest.mark.parametrize("arguments", [{}, {"code": 5}, {"python": "x"}])
def test_a_call_without_code_is_answered_with_an_error(
    engine_factory: EngineFactory, arguments: dict[str, Any]
) -> None:
    asks = Reply(tool_calls=[call("code_interpreter", arguments)])
    scene = Scene(engine_factory, asks, "Sorry.")
    run = scene.ask()
    assert run.status == "completed"
    assert scene.seen() == "Error: TypeError: 'code' has to be a text."
    assert scene.sandboxes.started == []


def test_sessions_beyond_the_limit_are_closed(engine_factory: EngineFactory) -> None:
    scene = Scene(
        engine_factory,
        *[runs("x = 1"), "ok"] * 3,
        settings=Settings(max_interpreters=2),
    )
    for _ in range(3):
        scene.thread = thread_with(scene.engine)
        scene.ask()
    assert list(scene.sandboxes.living) == ["sandbox-1", "sandbox-2"]


def test_a_session_that_makes_room_rests_where_it_can(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(
        engine_factory,
        *[runs("x = 1"), "ok"] * 2,
        *[runs("print(x)"), "ok"],
        settings=Settings(max_interpreters=1),
    )
    scene.sandboxes.pauses = True
    first = scene.thread
    scene.ask()
    scene.thread = thread_with(scene.engine)
    scene.ask()
    scene.thread = first
    assert scene.call_of(scene.ask()).outputs[0].logs == "1\n"


def test_the_session_of_a_deleted_thread_is_closed(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, runs("x = 1"), "ok")
    scene.ask()
    scene.engine.threads.delete(scene.thread.id)
    interpreters = scene.engine._interpreters
    assert interpreters is not None
    scene.engine.portal.call(interpreters.close_idle)
    assert scene.sandboxes.living == {}


def test_an_engine_that_is_closed_closes_the_provider(
    engine_factory: EngineFactory,
) -> None:
    scene = Scene(engine_factory, "ok")
    scene.engine.close()
    assert scene.sandboxes.closed
