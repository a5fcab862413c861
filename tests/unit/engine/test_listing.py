from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import assistant_with, thread_with, user, wait
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, ScriptedChatModel, call


class Kind(NamedTuple):
    """One of the lists: where it is, its ids oldest first, and an id of elsewhere."""

    name: str
    list: Callable[..., Any]
    alist: Callable[..., Any]
    scope: tuple[str, ...]
    ids: list[str]
    foreign: str


def assistants(engine: AssistantsEngine) -> Kind:
    made = [assistant_with(engine).id for _ in range(7)]
    gone = assistant_with(engine).id
    engine.assistants.delete(gone)
    of = engine.assistants
    return Kind("assistant", of.list, of.alist, (), made, gone)


def threads(engine: AssistantsEngine) -> Kind:
    made = [thread_with(engine).id for _ in range(7)]
    gone = thread_with(engine).id
    engine.threads.delete(gone)
    of = engine.threads
    return Kind("thread", of.list, of.alist, (), made, gone)


def messages(engine: AssistantsEngine) -> Kind:
    thread, other = thread_with(engine), thread_with(engine, "Elsewhere")
    made = [engine.messages.create(thread.id, **user("x")).id for _ in range(7)]
    [foreign] = engine.messages.list(other.id)
    of = engine.messages
    return Kind("message", of.list, of.alist, (thread.id,), made, foreign.id)


def runs(engine: AssistantsEngine) -> Kind:
    thread, other = thread_with(engine, "Hi"), thread_with(engine, "Elsewhere")
    assistant = assistant_with(engine)

    def run(thread_id: str) -> str:
        made = engine.runs.create(thread_id, assistant_id=assistant.id)
        return wait(engine, made).id

    made = [run(thread.id) for _ in range(7)]
    of = engine.runs
    return Kind("run", of.list, of.alist, (thread.id,), made, run(other.id))


def steps(engine: AssistantsEngine) -> Kind:
    assistant = engine.assistants.create(
        model="m",
        tools=[{"type": "function", "function": {"name": "ping"}, "run_on": "engine"}],
    )

    def run() -> list[str]:
        thread = thread_with(engine, "Hi")
        run = engine.runs.create(
            thread.id, assistant_id=assistant.id, model="seven steps"
        )
        wait(engine, run)
        made.append(run.id)
        return [step.id for step in engine.steps.list(run.id, order="asc")]

    made: list[str] = []
    ids, foreign = run(), run()
    of = engine.steps
    return Kind("run step", of.list, of.alist, (made[0],), ids, foreign[0])


def ping() -> str:
    """Answer."""
    return "pong"


def _answer(messages: Any, asked: Any) -> Any:
    tools = [m for m in messages if m.type == "tool"]
    if asked.tool_names and len(tools) < 6:
        return Reply(tool_calls=[call("ping")])
    return "Done."


@pytest.fixture(params=[assistants, threads, messages, runs, steps])
def kind(
    request: pytest.FixtureRequest, engine_factory: EngineFactory, clock: Clock
) -> Kind:
    """Seven objects of each kind, made in the same second."""
    engine = engine_factory(
        ScriptedChatModel(respond=_answer), tools=[ping], clock=clock
    )
    made: Kind = request.param(engine)
    assert len(made.ids) == 7
    return made


def ids(page: Any) -> list[str]:
    return [item.id for item in page.data]


def test_a_list_gives_the_newest_first(do: Do, kind: Kind) -> None:
    page = do(kind.list, *kind.scope)
    newest_first = [id for id in ids(page) if id in kind.ids]
    assert newest_first == kind.ids[::-1]
    assert not page.has_more
    assert do(kind.list, *kind.scope, order="asc").data == page.data[::-1]
    assert do(kind.list, *kind.scope, limit=None, order=None).data == page.data


def test_an_envelope_is_that_of_the_wire(do: Do, kind: Kind) -> None:
    page = do(kind.list, *kind.scope, order="asc", limit=2)
    assert page.to_dict() == {
        "object": "list",
        "data": [item.to_dict() for item in page.data],
        "first_id": kind.ids[0],
        "last_id": kind.ids[1],
        "has_more": True,
    }


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
def test_iteration_passes_over_all_pages(kind: Kind, order: str, limit: int) -> None:
    wanted = kind.ids if order == "asc" else kind.ids[::-1]
    page = kind.list(*kind.scope, order=order, limit=limit)
    assert [item.id for item in page if item.id in wanted] == wanted


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_async_iteration_passes_over_all_pages(kind: Kind, order: str) -> None:
    wanted = kind.ids if order == "asc" else kind.ids[::-1]
    found = [item.id async for item in kind.alist(*kind.scope, order=order, limit=3)]
    assert [id for id in found if id in wanted] == wanted
    page = await kind.alist(*kind.scope, order=order, limit=3)
    again = [item.id async for item in page]
    assert again == found


def test_after_and_before_bound_a_page_in_its_order(do: Do, kind: Kind) -> None:
    first, *middle, last = kind.ids

    def asc(**params: Any) -> Any:
        return do(kind.list, *kind.scope, order="asc", **params)

    def desc(**params: Any) -> Any:
        return do(kind.list, *kind.scope, order="desc", **params)

    assert ids(asc(after=first, before=last)) == middle
    assert ids(desc(after=last, before=first)) == middle[::-1]
    assert ids(asc(after=last)) == []
    assert ids(asc(after=first, limit=2)) == kind.ids[1:3]
    assert ids(desc(after=last, limit=2)) == kind.ids[-2:-4:-1]
    assert ids(asc(before=last, limit=2)) == kind.ids[-3:-1]
    assert ids(desc(before=first, limit=2)) == kind.ids[2:0:-1]
    assert asc(before=last, limit=2).has_more
    assert not asc(before=kind.ids[2], after=first, limit=2).has_more
    empty = asc(after=first, before=kind.ids[1])
    assert empty.to_dict() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize("name", ["after", "before"])
def test_an_anchor_that_is_no_part_of_the_list_is_not_found(
    do: Do, kind: Kind, name: str
) -> None:
    for id in (kind.foreign, "nothing"):
        with pytest.raises(NotFoundError) as error:
            do(kind.list, *kind.scope, **{name: id})
        assert str(error.value) == f"No {kind.name} found with id '{id}'."
        assert error.value.http_status == 404


@pytest.mark.parametrize(
    ("params", "message", "code", "param"),
    [
        (
            {"limit": 500},
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, "
            "but got 500 instead.",
            "integer_above_max_value",
            "limit",
        ),
        (
            {"limit": 0},
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but "
            "got 0 instead.",
            "integer_below_min_value",
            "limit",
        ),
        (
            {"limit": "5"},
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "invalid_type",
            "limit",
        ),
        (
            {"order": "newest"},
            "Invalid value: 'newest'. Supported values are: 'asc' and 'desc'.",
            "invalid_value",
            "order",
        ),
        (
            {"after": 7},
            "Invalid type for 'after': expected a string, but got an integer instead.",
            "invalid_type",
            "after",
        ),
    ],
)
def test_wrong_list_parameters_are_refused(
    kind: Kind, params: dict[str, Any], message: str, code: str, param: str
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        kind.list(*kind.scope, **params)
    told = error.value
    assert (str(told), told.code, told.param) == (message, code, param)
    with pytest.raises(TypeError, match="did you mean 'limit'"):
        kind.list(*kind.scope, limits=5)


def test_a_deleted_message_is_no_anchor_any_more(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "1", "2", "3")
    [_, second, _] = engine.messages.list(thread.id, order="asc")
    engine.messages.delete(second.id)
    with pytest.raises(NotFoundError) as error:
        do(engine.messages.list, thread.id, after=second.id)
    assert str(error.value) == f"No message found with id '{second.id}'."


def test_a_thread_without_objects_has_empty_lists(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    thread = thread_with(engine)
    for method in (engine.messages.list, engine.runs.list):
        page = do(method, thread.id)
        assert (page.data, page.has_more, page.first_id) == ([], False, None)
    with pytest.raises(NotFoundError, match="No thread found with id 'thread_x'"):
        do(engine.runs.list, "thread_x")
    with pytest.raises(InvalidRequestError, match="thread_id"):
        engine.messages.list("x")
