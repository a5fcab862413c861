from __future__ import annotations

import asyncio
import threading

from langchain_assistants.engine.bells import Bells
from tests.conversations import TIMEOUT


async def test_a_ring_wakes_everybody_who_listens_to_that_id() -> None:
    bells = Bells()
    first, second, other = (bells.listen(key) for key in ("a", "a", "b"))
    bells.ring("a")
    await bells.heard("a", first, TIMEOUT)
    await bells.heard("a", second, TIMEOUT)
    await bells.heard("b", other, 0)
    assert bells._waiting == {}


async def test_a_ring_before_the_wait_is_not_missed() -> None:
    bells = Bells()
    bell = bells.listen("a")
    bells.ring("a")
    await asyncio.wait_for(bells.heard("a", bell, TIMEOUT), TIMEOUT / 2)


async def test_a_wait_ends_at_its_timeout_and_leaves_nothing() -> None:
    bells = Bells()
    await bells.heard("a", bells.listen("a"), 0)
    assert bells._waiting == {}
    bells.ring("a")


async def test_one_listener_that_leaves_takes_no_other_with_it() -> None:
    bells = Bells()
    stays, leaves = bells.listen("a"), bells.listen("a")
    await bells.heard("a", leaves, 0)
    bells.ring("a")
    await asyncio.wait_for(bells.heard("a", stays, TIMEOUT), TIMEOUT / 2)


async def test_a_listener_that_is_cancelled_leaves_nothing() -> None:
    bells = Bells()
    listening = asyncio.create_task(bells.heard("a", bells.listen("a"), TIMEOUT))
    await asyncio.sleep(0)
    listening.cancel()
    await asyncio.wait({listening})
    assert bells._waiting == {}


def test_a_ring_reaches_the_loop_of_another_thread() -> None:
    bells, listening = Bells(), threading.Event()

    async def listen() -> None:
        bell = bells.listen("a")
        listening.set()
        await asyncio.wait_for(bells.heard("a", bell, TIMEOUT), TIMEOUT / 2)

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    assert listening.wait(TIMEOUT)
    bells.ring("a")
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_ring_for_a_loop_that_was_closed_is_no_error() -> None:
    bells = Bells()

    async def listen_and_leave() -> None:
        bells.listen("a")

    asyncio.run(listen_and_leave())
    bells.ring("a")
    assert bells._waiting == {}
