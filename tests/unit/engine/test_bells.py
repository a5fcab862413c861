from __future__ import annotations

import asyncio
import threading

import pytest
from tests.conversations import TIMEOUT

from langchain_assistants.engine.bells import Bells


async def test_a_ring_wakes_everybody_who_listens_to_that_id() -> None:
    bells = Bells()
    with (
        bells.listening("a") as first,
        bells.listening("a") as second,
        bells.listening("b") as other,
    ):
        bells.ring("a")
        await asyncio.wait({first, second}, timeout=TIMEOUT)
        assert (first.done(), second.done(), other.done()) == (True, True, False)
    assert bells._waiting == {}


async def test_a_ring_before_the_wait_is_not_missed() -> None:
    bells = Bells()
    with bells.listening("a") as bell:
        bells.ring("a")
        await asyncio.wait_for(bell, TIMEOUT)


async def test_a_ring_wakes_nobody_twice() -> None:
    bells = Bells()
    with bells.listening("a") as bell:
        bells.ring("a")
        bells.ring("a", "b")
        await asyncio.wait_for(bell, TIMEOUT)


async def test_one_listener_that_leaves_takes_no_other_with_it() -> None:
    bells = Bells()
    with bells.listening("a") as stays:
        with bells.listening("a"):
            pass
        bells.ring("a")
        await asyncio.wait_for(stays, TIMEOUT)


async def test_a_ring_after_the_last_listener_has_left_is_no_error() -> None:
    bells = Bells()
    with pytest.raises(ValueError, match="gone"), bells.listening("a") as left:
        raise ValueError("gone")
    bells.ring("a")
    await asyncio.sleep(0)
    assert left.cancelled()


async def test_a_listener_that_leaves_while_the_ring_is_on_its_way_is_let_go() -> None:
    bells = Bells()
    with bells.listening("a") as bell:
        bells.ring("a")
    await asyncio.sleep(0)
    assert bell.cancelled()


def test_a_ring_reaches_the_loop_of_another_thread() -> None:
    bells, listening = Bells(), threading.Event()
    heard: list[bool] = []

    async def listen() -> None:
        with bells.listening("a") as bell:
            listening.set()
            await asyncio.wait({bell}, timeout=TIMEOUT)
            heard.append(bell.done())

    thread = threading.Thread(target=asyncio.run, args=(listen(),), daemon=True)
    thread.start()
    assert listening.wait(TIMEOUT)
    bells.ring("a")
    thread.join(TIMEOUT)
    assert heard == [True]


def test_a_ring_for_a_loop_that_was_closed_is_no_error() -> None:
    bells = Bells()
    loop = asyncio.new_event_loop()

    async def listen() -> object:
        waiting = bells.listening("a")
        waiting.__enter__()
        return waiting

    kept = loop.run_until_complete(listen())
    loop.close()
    bells.ring("a")
    assert bells._waiting == {}
    del kept
