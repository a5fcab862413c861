"""Clocks that jump: a living run keeps its owner, a dead one is found all the same."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import Gate, assistant_with, texts, thread_with, wait
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import sweep
from langchain_assistants.testing import Reply
from langchain_assistants.types import Run

LEASE = 15.0


class Two:
    """Two engines on one file, whose heartbeats beat when they are told to.

    The first one executes a run whose model waits at the gate.
    """

    def __init__(
        self,
        factory: EngineFactory,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
        gate: Gate,
    ) -> None:
        settings = Settings(lease=LEASE, expires_after=2_592_000)
        reply = Reply("first", wait_for=gate)
        self.first = factory([reply], clock=clock, settings=settings)
        self.second = factory.reopen(["second"], clock=clock, settings=settings)
        for engine in (self.first, self.second):
            engine._heartbeat.stop()
        thread = thread_with(self.first, "Hi")
        self.run: Run = self.first.runs.create(
            thread.id, assistant_id=assistant_with(self.first).id
        )
        gate.wait_until_reached()
        self._steady = 0.0
        monkeypatch.setattr(
            sweep, "time", SimpleNamespace(monotonic=lambda: self._steady)
        )

    def beats(self) -> None:
        """Let the first engine show that it lives."""
        asyncio.run(self.first._heartbeat.beat())

    def sweeps(self, *, after: float = 0.0) -> None:
        """Let the second engine look for the dead."""
        self._steady += after
        asyncio.run(self.second._heartbeat.sweep())

    @property
    def lease_until(self) -> float:
        """What the run's row says."""
        [row] = rows(self.first, "SELECT lease_until FROM runs")
        found: float = row["lease_until"]
        return found

    def texts(self, engine: AssistantsEngine) -> list[str]:
        return texts(engine, self.run.thread_id)


@pytest.mark.parametrize("jump", [60.0, 86_400.0, -60.0, -86_400.0])
def test_a_living_run_stays_with_its_engine_when_the_clock_jumps(
    engine_factory: EngineFactory,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    jump: float,
) -> None:
    gate = Gate()
    two = Two(engine_factory, clock, monkeypatch, gate)
    clock.advance(jump)
    two.sweeps()
    two.beats()
    assert two.lease_until == clock() + LEASE
    for _ in range(3):
        two.sweeps(after=LEASE)
    gate.open()
    assert wait(two.first, two.run).status == "completed"
    assert two.texts(two.first) == ["Hi", "first"]
    assert [row["attempt"] for row in rows(two.first, "SELECT * FROM runs")] == [1]
    assert broken_invariants(two.first) == []


def test_a_run_that_nobody_keeps_is_taken_over_after_a_jump(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    two = Two(engine_factory, clock, monkeypatch, gate)
    clock.advance(60)
    two.sweeps()
    two.sweeps(after=LEASE)
    assert wait(two.second, two.run).status == "completed"
    assert two.texts(two.second) == ["Hi", "second"]
    gate.open()
    assert wait(two.first, two.run).status == "completed"
    assert broken_invariants(two.first) == []


def test_a_run_that_died_after_the_clock_was_set_back_is_taken_over_in_time(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    two = Two(engine_factory, clock, monkeypatch, gate)
    clock.advance(-3600)
    two.beats()  # its last sign of life
    clock.advance(LEASE + 1)
    two.sweeps()
    two.sweeps(after=LEASE)
    assert wait(two.second, two.run).status == "completed"
    gate.open()
