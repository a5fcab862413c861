"""What is remembered, for how long, and how much of it."""

from __future__ import annotations

import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Clock

from langchain_assistants.tools.recent import Recent


def test_a_value_is_kept_until_its_time_is_over(clock: Clock) -> None:
    recent: Recent[str, int] = Recent(size=2, ttl=10, clock=clock)
    recent.put("a", 1)
    clock.advance(9)
    assert recent.get("a") == 1
    clock.advance(1)
    assert recent.get("a") is None


def test_a_value_that_is_put_again_is_kept_from_then_on(clock: Clock) -> None:
    recent: Recent[str, int] = Recent(size=2, ttl=10, clock=clock)
    recent.put("a", 1)
    clock.advance(9)
    recent.put("a", 2)
    clock.advance(9)
    assert recent.get("a") == 2


def test_the_value_that_was_not_used_for_longest_goes_first(clock: Clock) -> None:
    recent: Recent[str, int] = Recent(size=2, ttl=10, clock=clock)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_size_0_keeps_nothing(clock: Clock) -> None:
    recent: Recent[str, int] = Recent(size=0, ttl=10, clock=clock)
    recent.put("a", 1)
    assert recent.get("a") is None


def test_copies_begin_empty_with_the_same_settings() -> None:
    recent: Recent[str, int] = Recent(size=1, ttl=60, clock=time.monotonic)
    recent.put("a", 1)
    for copied in (copy.deepcopy(recent), pickle.loads(pickle.dumps(recent))):
        assert copied.get("a") is None
        copied.put("b", 2)
        copied.put("c", 3)
        assert [copied.get("b"), copied.get("c")] == [None, 3]
    assert recent.get("a") == 1


def test_many_threads_may_use_it_at_once(clock: Clock) -> None:
    recent: Recent[int, int] = Recent(size=3, ttl=10, clock=clock)

    def use(number: int) -> bool:
        recent.put(number % 5, number % 5)
        return recent.get(number % 5) in {number % 5, None}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(2_000)))
    assert sum(recent.get(key) is not None for key in range(5)) == 3
