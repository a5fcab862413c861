"""Turns of callers on several event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from langchain_assistants.interpreters.turns import Turns


async def test_callers_come_in_one_at_a_time_in_the_order_of_asking() -> None:
    turns = Turns()
    inside: list[int] = []

    async def caller(number: int) -> None:
        async with turns.turn():
            inside.append(number)
            await asyncio.sleep(0)
            assert inside[-1] == number

    await asyncio.gather(*(caller(number) for number in range(5)))
    assert inside == [0, 1, 2, 3, 4]


def test_callers_on_other_loops_wait_too() -> None:
    turns = Turns()
    inside = threading.Event()
    leave = threading.Event()
    order: list[str] = []

    async def first() -> None:
        async with turns.turn():
            inside.set()
            await asyncio.to_thread(leave.wait)
            order.append("first")

    async def second() -> None:
        asked = asyncio.create_task(enter())
        await asyncio.sleep(0)
        leave.set()
        await asked

    async def enter() -> None:
        async with turns.turn():
            order.append("second")

    thread = threading.Thread(target=asyncio.run, args=(first(),))
    thread.start()
    inside.wait()
    asyncio.run(second())
    thread.join()
    assert order == ["first", "second"]


async def test_who_gives_up_in_the_queue_lets_nobody_pass() -> None:
    turns = Turns()
    order: list[str] = []

    async def enter(name: str) -> None:
        async with turns.turn():
            order.append(name)

    async with turns.turn():
        impatient = asyncio.create_task(enter("impatient"))
        patient = asyncio.create_task(enter("patient"))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert order == []
    await patient
    assert order == ["patient"]


async def test_an_error_inside_ends_the_turn() -> None:
    turns = Turns()

    async def fail() -> None:
        async with turns.turn():
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with turns.turn():
        pass
