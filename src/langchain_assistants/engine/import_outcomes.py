"""Objects that bring their ids and times with them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from langchain_assistants.storage.database import Transaction

# What an object says of itself that is not its own, or not for long.
_PASSING = {
    "assistant": {"version"},
    "thread": {"key", "parent_id"},
    "vector_store": {
        "expires_at",
        "file_counts",
        "last_active_at",
        "status",
        "usage_bytes",
    },
    "vector_store.file": {"last_error", "status", "usage_bytes"},
}


class Imported(NamedTuple):
    """An object to take in.

    Attributes:
        kind: Its `object`.
        parent: The id of what it belongs to.
        body: Its fields as on the wire.
        place: Of a run, the number of the message before it; of a step, that of the
            newest message when it was made. None: not known.
    """

    kind: str
    id: str
    parent: str
    body: Mapping[str, Any]
    place: int | None = None

    @property
    def created_at(self) -> int:
        """When it was made."""
        return int(self.body["created_at"])


class Outcome(NamedTuple):
    """What became of an object.

    Attributes:
        taken: Whether it is new.
        refusal: Why it was not taken.
        repair: What is other than it said.
        place: Of a message, its number in the thread.
    """

    taken: bool = False
    refusal: str | None = None
    repair: str | None = None
    place: int | None = None


Take: TypeAlias = Callable[[Sequence[Imported], str, float], Transaction[list[Outcome]]]
"""Stores objects of one kind, of a tenant, at a time."""


def _differing(kind: str, here: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    names = (here.keys() | given.keys()) - _PASSING.get(kind, set())
    return ", ".join(sorted(n for n in names if here.get(n) != given.get(n)))


def compared(
    item: Imported, here: Mapping[str, Any], given: Mapping[str, Any], place: Any = None
) -> Outcome:
    """Leave alone what is the same, and refuse what is not."""
    differing = _differing(item.kind, here, given)
    if differing:
        return Outcome(
            refusal=f"its id is here already with other content ({differing})"
        )
    return Outcome(place=place)


TAKEN_ID = Outcome(refusal="its id is another's here")
