"""The pool for synchronous tools: it grows, it shrinks, and nobody waits for it."""

from __future__ import annotations

import sys
import threading
import time
import weakref

import pytest
from tests import warm

from langchain_assistants.engine.daemon_threads import DaemonThreadPool


def threads(name: str) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith(name)]


def until_none_is_left(name: str) -> None:
    for thread in threads(name):
        thread.join(20)
    assert threads(name) == []


def test_work_that_waits_for_other_work_never_waits_for_a_thread() -> None:
    pool = DaemonThreadPool("deep")

    def nested(depth: int) -> int:
        return 1 + pool.submit(nested, depth - 1).result() if depth else 0

    assert pool.submit(nested, 100).result(20) == 100
    pool.shutdown()
    until_none_is_left("deep")


def test_idle_threads_are_used_again_and_end_after_a_while() -> None:
    pool = DaemonThreadPool("idle", idle_seconds=0.05)
    first = pool.submit(threading.current_thread).result()
    while first not in threads("idle") or not pool._idle:
        time.sleep(0)
    assert pool.submit(threading.current_thread).result() is first
    first.join(20)
    assert threads("idle") == []
    assert pool.submit(threading.current_thread).result() is not first
    pool.shutdown()
    until_none_is_left("idle")


def test_an_idle_thread_keeps_nothing_of_its_last_call() -> None:
    class Big:
        pass

    pool = DaemonThreadPool("forgetful")
    big = Big()
    gone = weakref.ref(big)
    future = pool.submit(lambda given: None, big)
    future.result()
    del big, future
    while gone() is not None:
        time.sleep(0)
    pool.shutdown()
    until_none_is_left("forgetful")


def test_an_exception_is_the_futures_and_the_thread_goes_on() -> None:
    pool = DaemonThreadPool("failing")
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
    with pytest.raises(SystemExit):
        pool.submit(sys.exit, 3).result()
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    pool.shutdown()
    until_none_is_left("failing")


def test_a_pool_that_was_shut_down_takes_no_work() -> None:
    pool = DaemonThreadPool("closed")
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(divmod, 7, 2)


def test_a_process_ends_although_a_thread_hangs() -> None:
    program = (
        "import threading\n"
        "from langchain_assistants.engine.daemon_threads import DaemonThreadPool\n"
        "pool, begun = DaemonThreadPool('hung'), threading.Event()\n"
        "pool.submit(lambda: (begun.set(), threading.Event().wait()))\n"
        "begun.wait()\n"
    )
    done = warm.run([sys.executable, "-c", program], timeout=60)
    assert done.returncode == 0
