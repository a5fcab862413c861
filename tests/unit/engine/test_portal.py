from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncGenerator

import pytest
from tests import warm
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT, thread_with

from langchain_assistants.engine.portal import Portal, blocking
from langchain_assistants.errors import ConfigurationError

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


async def name_of_thread() -> str:
    return threading.current_thread().name


def test_the_thread_starts_with_the_first_call_and_is_a_daemon() -> None:
    def mine() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name.endswith("portal")]

    before = mine()
    portal = Portal()
    assert mine() == before
    assert portal.call(name_of_thread) == "langchain-assistants-portal"
    [thread] = [thread for thread in mine() if thread not in before]
    assert thread.daemon
    portal.stop()
    assert not thread.is_alive()


def test_all_calls_share_one_loop() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    portal = Portal()
    assert portal.call(loop) is portal.call(loop)
    portal.stop()


def test_the_callers_context_variables_reach_the_call() -> None:
    async def name() -> str:
        return NAME.get()

    portal = Portal()
    token = NAME.set("Ada")
    assert portal.call(name) == "Ada"
    NAME.reset(token)
    assert portal.call(name) == "nobody"
    portal.stop()


def test_what_an_async_generator_yields_is_yielded_one_by_one() -> None:
    portal = Portal()
    log: list[str] = []

    async def names() -> AsyncGenerator[str, None]:
        try:
            for _ in range(2):
                log.append("asked")
                yield await name_of_thread()
            raise ValueError("no more")
        finally:
            log.append("tidied up")

    items = portal.iterate(names)
    assert next(items) == "langchain-assistants-portal"
    assert log == ["asked"]
    assert next(items) == "langchain-assistants-portal"
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert log == ["asked", "asked", "tidied up"]
    left = portal.iterate(names)
    next(left)
    left.close()
    assert log[3:] == ["asked", "tidied up"]
    portal.stop()


def test_an_iterator_may_be_closed_after_its_portal() -> None:
    portal = Portal()

    async def one() -> AsyncGenerator[int, None]:
        yield 1

    items = portal.iterate(one)
    assert next(items) == 1
    portal.stop()
    items.close()
    with pytest.raises(ConfigurationError, match="engine is closed"):
        next(portal.iterate(one))


def test_an_exception_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("no")

    portal = Portal()
    with pytest.raises(ValueError, match="no"):
        portal.call(fail)
    portal.stop()


def test_a_call_from_the_portals_own_loop_is_refused(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    thread = thread_with(engine)

    async def sync_call_on_the_loop() -> None:
        engine.threads.retrieve(thread.id)

    with pytest.raises(ConfigurationError, match="await its async twin instead"):
        engine.portal.call(sync_call_on_the_loop)

    async def close_on_the_loop() -> None:
        engine.portal.stop()

    assert engine.threads.retrieve(thread.id) == thread


def test_it_cannot_be_stopped_from_its_own_loop() -> None:
    portal = Portal()

    async def stop() -> None:
        portal.stop()

    with pytest.raises(ConfigurationError, match="its own event loop"):
        portal.call(stop)
    portal.stop()


def test_a_stopped_portal_takes_no_calls() -> None:
    portal = Portal()
    portal.call(name_of_thread)
    portal.stop()
    portal.stop()
    with pytest.raises(ConfigurationError, match="The engine is closed"):
        portal.call(name_of_thread)


def test_one_that_was_never_used_can_be_stopped() -> None:
    Portal().stop()


def test_stopping_cancels_what_executes_in_the_background() -> None:
    portal = Portal()
    begun, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    portal.start(forever)
    assert begun.wait(TIMEOUT)
    portal.stop()
    assert ended.is_set()


def test_starting_in_the_background_never_waits_for_the_end() -> None:
    portal = Portal()
    release = threading.Event()
    ended = threading.Event()

    async def until_released() -> None:
        await asyncio.to_thread(release.wait, TIMEOUT)
        ended.set()

    async def from_the_portals_loop() -> None:
        portal.start(until_released)

    portal.start(until_released)
    portal.call(from_the_portals_loop)
    assert not ended.is_set()
    release.set()
    assert ended.wait(TIMEOUT)
    portal.stop()


def test_starting_in_the_background_never_waits_for_a_blocked_loop() -> None:
    portal = Portal()
    blocked, release, ended = (threading.Event() for _ in range(3))

    async def block() -> None:
        blocked.set()
        release.wait(TIMEOUT)

    async def end() -> None:
        ended.set()

    portal.start(block)
    assert blocked.wait(TIMEOUT)
    portal.start(end)
    assert not ended.is_set()
    release.set()
    assert ended.wait(TIMEOUT)
    portal.stop()


def test_what_is_started_by_a_coroutine_of_another_loop_is_executed() -> None:
    portal = Portal()
    ended = threading.Event()

    async def end() -> None:
        ended.set()

    async def start() -> None:
        portal.start(end)

    asyncio.run(start())
    assert ended.wait(TIMEOUT)
    portal.stop()


def test_an_interrupted_call_is_cancelled_and_may_tidy_up() -> None:
    portal = Portal()
    begun, tidied = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            tidied.set()

    call = portal.spawn(forever)
    assert begun.wait(TIMEOUT)
    call.cancel()
    assert tidied.is_set()
    call.cancel()
    portal.stop()


def test_a_twin_is_named_after_its_method() -> None:
    class Thing:
        portal = Portal()

        async def aname(self, first: str, *, second: str = "b") -> str:
            """Say the name."""
            return first + second

        name = blocking(aname)

    thing = Thing()
    assert thing.name("a", second="c") == "ac"
    assert Thing.name.__name__ == "name"
    assert Thing.name.__qualname__.endswith("Thing.name")
    assert Thing.name.__doc__ == "Say the name."
    thing.portal.stop()


def test_an_engine_that_was_never_closed_does_not_keep_its_process_alive() -> None:
    program = (
        "from langchain_assistants import AssistantsEngine\n"
        "from langchain_assistants.testing import Reply, ScriptedChatModel\n"
        "import threading\n"
        "never = threading.Event()\n"
        "model = ScriptedChatModel([Reply('x', wait_for=never)])\n"
        "engine = AssistantsEngine('sqlite:///:memory:', chat_model=model)\n"
        "assistant = engine.assistants.create(model='m')\n"
        "thread = engine.threads.create(messages=[{'role': 'user', 'content': 'x'}])\n"
        "run = engine.runs.create(thread.id, assistant_id=assistant.id)\n"
        "print(run.status)\n"
    )
    done = warm.run([sys.executable, "-c", program], timeout=60)
    assert (done.returncode, done.stdout) == (0, "queued\n"), done.stderr


def test_several_loops_and_threads_use_one_engine_at_once(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    errors: list[BaseException] = []

    async def on_a_loop() -> None:
        for _ in range(5):
            made = await engine.threads.acreate()
            assert (await engine.threads.aretrieve(made.id)) == made

    def on_a_thread() -> None:
        try:
            asyncio.run(on_a_loop())
            asyncio.run(on_a_loop())
            made = engine.threads.create()
            assert engine.threads.retrieve(made.id) == made
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=on_a_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert errors == []
    assert len(list(engine.threads.list(limit=100))) == 44
