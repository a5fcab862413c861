"""What was found a short while ago; it knows nothing of searching."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keep values for some seconds, and only so many: the least used one goes first.

    Any thread may use it. A copy, deep or pickled, begins empty.

    Args:
        size: How many values are kept; 0 keeps none.
        ttl: For how many seconds a value is kept.
        clock: Returns seconds that never go back.

    Example:
        ```python
        recent = Recent(size=2, ttl=60, clock=time.monotonic)
        recent.put("a", 1)
        assert recent.get("a") == 1
        ```
    """

    def __init__(self, size: int, ttl: float, clock: Callable[[], float]) -> None:
        self._settings = (size, ttl, clock)
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value, None if it is not or no longer kept."""
        _, ttl, clock = self._settings
        with self._lock:
            if key not in self._kept:
                return None
            since, value = self._kept[key]
            if clock() - since >= ttl:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value from now on."""
        size, _, clock = self._settings
        with self._lock:
            self._kept[key] = (clock(), value)
            self._kept.move_to_end(key)
            while len(self._kept) > size:
                self._kept.popitem(last=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._settings
