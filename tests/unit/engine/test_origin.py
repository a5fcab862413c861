"""Objects of an engine in notebooks: they show what belongs to them."""

from __future__ import annotations

import asyncio
import base64
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.sandbox import PNG, Sandboxes

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.engine import origin
from langchain_assistants.engine.origin import EngineOrigin
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types import Run, Thread, WireObject
from langchain_assistants.types.html import to_html
from langchain_assistants.types.records import RunRecord


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    "run_on": "engine",
}
SCRIPT = [Reply(tool_calls=[call("add", {"a": 17, "b": 25})]), "It is forty-two."]


def asked(engine: AssistantsEngine) -> tuple[Thread, Run]:
    """Ask once, and return the thread and the run as they were first."""
    assistant = engine.assistants.create(model="scripted", tools=[TOOL])
    thread = engine.threads.create(
        messages=[{"role": "user", "content": "What is 17 + 25?"}], key="sum"
    )
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    engine.runs.wait(run.id)
    return thread, run


def shown(item: WireObject) -> str:
    html = item._repr_html_()
    assert html is not None
    return html


def is_whole(item: WireObject) -> bool:
    """Tell whether an object is shown with what the run said on its thread."""
    return "It is forty-two." in shown(item)


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory(SCRIPT, tools=[add])


def test_a_run_shows_its_steps_and_what_it_wrote(engine: AssistantsEngine) -> None:
    _, run = asked(engine)
    html = shown(engine.runs.retrieve(run.id))
    assert html.index("add</span>(a=17, b=25)") < html.index("It is forty-two.")
    assert ">42</pre>" in html
    assert "engine.runs.retrieve" not in html


def test_a_run_as_it_was_created_says_that_it_has_gone_on(
    engine: AssistantsEngine,
) -> None:
    _, run = asked(engine)
    assert run.status == "queued"
    assert "This object says queued; now the run is completed" in shown(run)


def test_a_thread_shows_what_was_said(engine: AssistantsEngine) -> None:
    thread, _ = asked(engine)
    html = shown(thread)
    assert html.index("What is 17 + 25?") < html.index("It is forty-two.")


def test_everything_that_a_resource_returns_knows_its_engine(
    engine: AssistantsEngine,
) -> None:
    thread, run = asked(engine)
    for item in (
        run,
        engine.runs.retrieve(run.id),
        engine.runs.update(run.id, metadata={"a": "b"}),
        engine.runs.wait(run.id),
        *engine.runs.list(thread.id).data,
        thread,
        engine.threads.get_or_create(key="sum"),
        engine.threads.retrieve(thread.id),
        engine.threads.update(thread.id, metadata={"a": "b"}),
        *engine.threads.list().data,
    ):
        assert is_whole(item)


async def test_so_does_what_its_async_methods_return(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["It is forty-two."])
    assistant = await engine.assistants.acreate(model="scripted")
    thread = await engine.threads.acreate()
    run = await engine.runs.acreate(thread.id, assistant_id=assistant.id)
    ended = await engine.runs.await_(run.id)
    # Displayed within a running loop, as in a notebook.
    assert all(is_whole(item) for item in (thread, run, ended))
    assert [is_whole(run) async for run in engine.runs.alist(thread.id)] == [True]
    assert [is_whole(item) for item in (await engine.threads.alist()).data] == [True]


def test_a_cancelled_run_and_one_that_goes_on_know_their_engine_too(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([SCRIPT[0], SCRIPT[0], "Done."])
    tool = {key: value for key, value in TOOL.items() if key != "run_on"}
    assistant = engine.assistants.create(model="scripted", tools=[tool])
    thread = engine.threads.create()
    first = engine.runs.create(thread.id, assistant_id=assistant.id)
    waiting = engine.runs.wait(first.id)
    assert "Waits for outputs of" in shown(waiting)
    assert "add</span>(a=17, b=25)" in shown(engine.runs.cancel(first.id))
    second = engine.runs.create(thread.id, assistant_id=assistant.id)
    action = engine.runs.wait(second.id).required_action
    assert action is not None
    assert action.submit_tool_outputs is not None
    [open_call] = action.submit_tool_outputs.tool_calls
    output = {"tool_call_id": open_call.id, "output": "42"}
    going_on = engine.runs.submit_tool_outputs(second.id, tool_outputs=[output])
    engine.runs.wait(second.id)
    assert "Done." in shown(going_on)


def test_only_the_newest_messages_are_shown_and_the_others_counted(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "_SHOWN_MESSAGES", 2)
    engine = engine_factory()
    texts = [f"say {number}" for number in ("one", "two", "three", "four", "five")]
    thread = engine.threads.create(
        messages=[{"role": "user", "content": text} for text in texts]
    )
    html = shown(thread)
    assert "… 3 earlier messages" in html
    assert [text in html for text in texts] == [False, False, False, True, True]
    oldest = engine.messages.list(thread.id, order="asc").data[0]
    engine.messages.delete(oldest.id)
    assert "… 2 earlier messages" in shown(thread)


def test_a_page_of_messages_is_a_chat_whatever_its_order(
    engine: AssistantsEngine,
) -> None:
    thread, _ = asked(engine)
    newest = engine.messages.list(thread.id)._repr_html_()
    oldest = engine.messages.list(thread.id, order="asc")._repr_html_()
    assert newest == oldest
    assert newest is not None
    assert newest.index("What is 17 + 25?") < newest.index("It is forty-two.")


async def test_so_is_an_async_page(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    thread = await engine.threads.acreate(
        messages=[{"role": "user", "content": text} for text in ("first", "second")]
    )
    html = (await engine.messages.alist(thread.id))._repr_html_()
    assert html is not None
    assert html.index("first") < html.index("second")


def test_on_the_engines_own_loop_an_object_is_shown_alone(
    engine: AssistantsEngine,
) -> None:
    _, run = asked(engine)

    async def on_the_loop() -> str:
        return shown(run)

    assert "engine.steps.list" in engine.portal.call(on_the_loop)


def test_after_the_end_of_its_engine_an_object_is_shown_alone(
    engine: AssistantsEngine,
) -> None:
    thread, run = asked(engine)
    engine.close()
    assert "engine.messages.list" in shown(thread)
    assert "engine.steps.list" in shown(run)


def test_a_deleted_thread_is_shown_alone(engine: AssistantsEngine) -> None:
    thread, _ = asked(engine)
    engine.threads.delete(thread.id)
    assert "engine.messages.list" in shown(thread)


def test_an_object_keeps_no_engine_alive(tmp_path: Path) -> None:
    engine = AssistantsEngine(f"sqlite:///{tmp_path / 'a.db'}")
    thread = engine.threads.create()
    workplace = weakref.ref(engine.threads._workplace)
    engine.close()
    del engine
    gc.collect()
    assert workplace() is None
    assert "engine.messages.list" in shown(thread)


def test_an_object_that_was_pickled_is_shown_alone(engine: AssistantsEngine) -> None:
    thread, run = asked(engine)
    assert pickle.loads(pickle.dumps(thread)) == thread
    assert "engine.steps.list" in shown(pickle.loads(pickle.dumps(run)))


async def test_many_displays_at_once_do_not_wait_for_each_other(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(ScriptedChatModel(respond=lambda *_: "It is forty-two."))
    assistant = await engine.assistants.acreate(model="scripted")
    thread = await engine.threads.acreate()
    run = await engine.runs.acreate(thread.id, assistant_id=assistant.id)
    await engine.runs.await_(run.id)
    pages = await asyncio.gather(*(asyncio.to_thread(shown, run) for _ in range(8)))
    assert len(set(pages)) == 1


def plotting(engine_factory: EngineFactory) -> AssistantsEngine:
    """Return an engine whose assistant draws a picture, and tells so."""
    plots = Reply(tool_calls=[call("code_interpreter", {"code": "show()"})])
    engine = engine_factory([plots, "Here it is."], interpreter=Sandboxes())
    engine.assistants.create(model="m", tools=[{"type": "code_interpreter"}])
    return engine


def test_everything_about_a_run_shows_its_pictures(
    engine_factory: EngineFactory,
) -> None:
    engine = plotting(engine_factory)
    [assistant] = engine.assistants.list()
    thread = engine.threads.create()
    record = RunRecord()
    for event in engine.runs.stream(thread.id, assistant_id=assistant.id):
        record.add(event)
    assert record.run is not None
    [message] = record.messages
    followed = {e.event: e.data for e in engine.runs.follow(record.run.id)}
    data = base64.b64encode(PNG).decode()
    for item in (
        thread,
        record.run,
        record,
        engine.messages.list(thread.id),
        engine.messages.retrieve(message.id),
        [*engine.messages.list(thread.id)],
        engine.steps.list(record.run.id, order="asc"),
        engine.steps.retrieve(record.steps[0].id),
        followed["thread.run.completed"],
    ):
        html = to_html(item)
        assert html is not None
        assert f'src="data:image/png;base64,{data}"' in html


def test_the_answer_of_a_runnable_shows_its_pictures(
    engine_factory: EngineFactory,
) -> None:
    engine = plotting(engine_factory)
    [assistant] = engine.assistants.list()
    answer = AssistantRunnable(assistant_id=assistant.id, engine=engine).invoke("Plot!")
    assert "<img" in (to_html(answer) or "")


def test_a_picture_of_another_tenant_is_not_read(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    file = engine.files.create(file=("a.png", PNG), purpose="vision")
    asked = {"contents_of": [file.id], "most_bytes": 100}
    assert engine.runs.origin.files([file.id], **asked)[file.id].content == PNG
    other = EngineOrigin(engine.runs._workplace, "another")
    assert other.files([file.id], **asked) == {}


def test_a_large_file_and_one_that_is_not_asked_for_are_only_named(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    ids = [
        engine.files.create(file=(name, PNG), purpose="vision").id
        for name in ("a.png", "b.png")
    ]
    read = engine.runs.origin.files
    found = read(ids, contents_of=ids[:1], most_bytes=len(PNG))
    assert [found[id] for id in ids] == [("a.png", PNG), ("b.png", None)]
    assert read(ids[:1], contents_of=ids, most_bytes=len(PNG) - 1)[ids[0]][1] is None


def test_a_file_whose_content_is_missing_is_only_named(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    file = engine.files.create(file=("a.png", PNG), purpose="vision")
    engine.runs._workplace.blobs.discard([file.id])
    read = engine.runs.origin.files
    found = read([file.id], contents_of=[file.id], most_bytes=100)
    assert found == {file.id: ("a.png", None)}
