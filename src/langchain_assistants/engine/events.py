"""The numbered events of one live run, and those who listen to them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import NamedTuple, TypeAlias

from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import STOP_EVENTS, EventName, RunEvent
from langchain_assistants.types.records import Origin, bind

EventData: TypeAlias = WireObject | Callable[[], WireObject] | None
"""The object of an event, a function that makes it, or nothing (`done`)."""


def event_number(event_id: str | None) -> tuple[int, int]:
    """Read `<attempt>.<number>`; (0, 0) of anything else."""
    attempt, _, number = (event_id or "").partition(".")
    try:
        return int(attempt), int(number)
    except ValueError:
        return 0, 0


class _Numbered(NamedTuple):
    name: EventName
    data: EventData
    attempt: int
    number: int


class EventLog:
    """Events of one run in order, from one writer to any number of listeners.

    Ids are `<attempt>.<number>`, dense within an attempt. A listener gets everything
    from the first event on, whenever it joins, on whatever loop or thread it is.
    """

    def __init__(self, attempt: int = 1, *, origin: Origin | None = None) -> None:
        """Begin an empty log.

        Args:
            attempt: The run's.
            origin: Where a notebook reads what belongs to the events' objects.
        """
        self._attempt = attempt
        self._begun_at = 0
        self._origin = origin
        self._events: list[_Numbered] = []
        self._listeners: list[Callable[[_Numbered | None], None]] = []
        self._lock = threading.Lock()
        self._ended = False

    def begin(self, attempt: int) -> None:
        """Count what follows from 1, as events of another attempt."""
        with self._lock:
            if attempt != self._attempt:
                self._attempt = attempt
                self._begun_at = len(self._events)

    def emit(self, event: EventName, data: EventData) -> None:
        """Number an event and hand it to the listeners.

        Args:
            event: The wire's name.
            data: The object, or what makes it: there is a delta for each token, and
                thousands of objects that are kept cost more than making each again.
        """
        with self._lock:
            number = len(self._events) + 1 - self._begun_at
            item = _Numbered(event, data, self._attempt, number)
            self._events.append(item)
            for listen in self._listeners:
                listen(item)

    def end(self) -> None:
        """Tell every listener that nothing follows."""
        with self._lock:
            self._ended = True
            for listen in self._listeners:
                listen(None)
            self._listeners.clear()

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows."""
        return self._ended

    @property
    def was_cut(self) -> bool:
        """Whether it ended although the run went on: elsewhere, or later."""
        return self._ended and not (
            self._events and self._events[-1].name in STOP_EVENTS
        )

    def __len__(self) -> int:
        """Count the events so far."""
        return len(self._events)

    def _event(self, item: _Numbered) -> RunEvent:
        data = item.data() if callable(item.data) else item.data
        if data is not None and self._origin is not None:
            bind(data, self._origin)
        return RunEvent(item.name, data, f"{item.attempt}.{item.number}")

    def _is_new(self, item: _Numbered, known: tuple[int, int]) -> bool:
        """Tell whether an event comes after one that a listener knows."""
        is_of_another_log = known[0] > self._attempt
        return is_of_another_log or (item.attempt, item.number) > known

    def _join(self, listen: Callable[[_Numbered | None], None]) -> None:
        with self._lock:
            for item in self._events:
                listen(item)
            if self._ended:
                listen(None)
            else:
                self._listeners.append(listen)

    def _leave(self, listen: Callable[[_Numbered | None], None]) -> None:
        with self._lock:
            if listen in self._listeners:
                self._listeners.remove(listen)

    async def follow(self, after: str | None = None) -> AsyncGenerator[RunEvent, None]:
        """Yield the events until the run stops, on the caller's loop.

        Args:
            after: The id of the last event that the listener knows; one of an attempt
                that is not in this log counts for nothing.
        """
        known = event_number(after)
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[_Numbered | None] = asyncio.Queue()

        def listen(item: _Numbered | None) -> None:
            try:
                here = asyncio.get_running_loop() is loop
            except RuntimeError:
                here = False
            if here:
                arrived.put_nowait(item)
            else:
                # A listener whose loop was closed hears no more; the run goes on.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(arrived.put_nowait, item)

        self._join(listen)
        try:
            while (item := await arrived.get()) is not None:
                if self._is_new(item, known):
                    yield self._event(item)
        finally:
            self._leave(listen)

    def follow_blocking(
        self, after: str | None = None
    ) -> Generator[RunEvent, None, None]:
        """Yield the events until the run stops, blocking the caller's thread."""
        known = event_number(after)
        arrived: queue.SimpleQueue[_Numbered | None] = queue.SimpleQueue()
        self._join(arrived.put)
        try:
            while (item := arrived.get()) is not None:
                if self._is_new(item, known):
                    yield self._event(item)
        finally:
            self._leave(arrived.put)
