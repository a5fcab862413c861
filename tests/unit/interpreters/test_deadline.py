"""Deadlines: what ends the work, and which reason counts."""

from __future__ import annotations

import asyncio
import threading

import pytest

from langchain_assistants.interpreters.deadline import Deadline


async def forever() -> None:
    await asyncio.Event().wait()


async def test_work_that_ends_by_itself_has_no_reason() -> None:
    deadline = Deadline()
    assert await deadline.limit(asyncio.sleep(0), 30) is None
    deadline.stop("interrupt")
    await asyncio.sleep(0)


async def test_the_time_ends_the_work() -> None:
    assert await Deadline().limit(forever(), 0.01) == "timeout"


async def test_anybody_may_end_it_sooner_and_the_first_reason_counts() -> None:
    deadline = Deadline()

    def stop() -> None:
        deadline.stop("output_limit")
        deadline.stop("interrupt")

    async def stopped_from_elsewhere() -> None:
        threading.Thread(target=stop).start()
        await forever()

    assert await deadline.limit(stopped_from_elsewhere(), 30) == "output_limit"


async def test_it_may_be_over_before_the_work_begins() -> None:
    deadline = Deadline()
    deadline.stop("interrupt")
    await asyncio.sleep(0)
    assert await deadline.limit(forever(), 30) == "interrupt"


async def test_what_the_work_raises_passes_through() -> None:
    async def fail() -> None:
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="the work's own"):
        await Deadline().limit(fail(), 30)
