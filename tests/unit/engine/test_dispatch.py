from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.conversations import TIMEOUT

from langchain_assistants.engine.dispatch import InProcessDispatcher
from langchain_assistants.engine.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.stop()


class Worker:
    """Executes runs only as far as it is let, and notes them."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.begun: list[str] = []
        self.changed = threading.Condition()
        self.release: dict[str, threading.Event] = {}

    async def execute(self, run_id: str) -> None:
        import anyio.to_thread

        event = self.release.setdefault(run_id, threading.Event())
        with self.changed:
            self.begun.append(run_id)
            self.changed.notify_all()
        await anyio.to_thread.run_sync(event.wait, TIMEOUT)

    def finish(self, run_id: str) -> None:
        self.release.setdefault(run_id, threading.Event()).set()

    def wait_for(self, *run_ids: str) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: self.begun == list(run_ids), TIMEOUT
            ), self.begun


def test_runs_beyond_the_slots_start_in_order_as_slots_become_free(
    portal: Portal,
) -> None:
    worker = Worker(portal)
    dispatcher = InProcessDispatcher(portal, slots=2)
    dispatcher.serve(worker.execute)
    for run_id in "abcd":
        dispatcher.wake(run_id)
    worker.wait_for("a", "b")
    worker.finish("b")
    worker.wait_for("a", "b", "c")
    worker.finish("a")
    worker.wait_for("a", "b", "c", "d")
    for run_id in "cd":
        worker.finish(run_id)


def test_a_reserved_slot_is_nobody_elses(portal: Portal) -> None:
    worker = Worker(portal)
    dispatcher = InProcessDispatcher(portal, slots=1)
    dispatcher.serve(worker.execute)
    assert dispatcher.reserve()
    assert not dispatcher.reserve()
    dispatcher.wake("a")
    assert worker.begun == []
    dispatcher.release()
    worker.wait_for("a")
    worker.finish("a")


def test_work_that_crashes_gives_its_slot_back_and_ends_nothing_else(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(portal)
    dispatcher = InProcessDispatcher(portal, slots=1)
    dispatcher.serve(worker.execute)
    assert dispatcher.reserve()

    async def crash() -> None:
        raise ValueError

    dispatcher.start(crash)
    dispatcher.wake("a")
    worker.wait_for("a")
    worker.finish("a")
    assert [record.message for record in caplog.records] == ["background_task_failed"]
