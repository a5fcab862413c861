"""Lists: keyset pages over an insertion sequence, so that none repeats or skips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, select

from langchain_assistants.storage.database import Row, Statement, Transaction, param
from langchain_assistants.types.pages import Order

# Sequence numbers lie strictly between these.
_LOWEST, _HIGHEST = -1, 2**62


class Slice(NamedTuple):
    """The rows of one page in the order asked for, and whether more follow."""

    rows: list[Row]
    has_more: bool


class Listing:
    """Reads pages of one table within a scope (a tenant, a thread, a run).

    The bounds are always given, as numbers outside the sequence where open: a range
    that SQLite can search, where `:after IS NULL OR ...` would make it scan.
    """

    def __init__(
        self, base: Select[Any], sequence: Column[int], *scope: ColumnElement[bool]
    ) -> None:
        """Build the two statements; parameters of the scope keep their names."""
        bounded = base.where(
            *scope, sequence > param("low"), sequence < param("high")
        ).limit(param("limit"))
        self._ascending = Statement(bounded.order_by(sequence.asc()))
        self._descending = Statement(bounded.order_by(sequence.desc()))

    @classmethod
    def of(cls, sequence: Column[int], *scope: ColumnElement[bool]) -> Listing:
        """Return the listing of all columns of a sequence's table."""
        return cls(select(sequence.table), sequence, *scope)

    def slice(
        self,
        *,
        order: Order,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        low: int | None = None,
        high: int | None = None,
        **scope: Any,
    ) -> Transaction[Slice]:
        """Read the page behind `after`, or the one that ends just before `before`.

        Args:
            order: By insertion.
            limit: Most rows of the page.
            after: Sequence number of the row the page follows in that order.
            before: Sequence number of the row the page precedes in that order.
            low: Exclusive bound of the sequence, whatever the order.
            high: The same from above.
            **scope: Values of the scope's parameters.
        """
        bottom = _LOWEST if low is None else low
        top = _HIGHEST if high is None else high
        ascending = order == "asc"
        if after is not None:
            if ascending:
                bottom = max(bottom, after)
            else:
                top = min(top, after)
        if before is not None:
            if ascending:
                top = min(top, before)
            else:
                bottom = max(bottom, before)
        # Only `before`: the nearest rows are at the far end of the range.
        backwards = before is not None and after is None
        statement = self._ascending if ascending != backwards else self._descending
        rows: Sequence[Row] = yield statement(
            low=bottom, high=top, limit=limit + 1, **scope
        )
        page = list(rows[:limit])
        if backwards:
            page.reverse()
        return Slice(page, len(rows) > limit)
