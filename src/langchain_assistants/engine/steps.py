"""Run steps: what a run did, to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    read_slice,
)
from langchain_assistants.engine.run_rows import run_row
from langchain_assistants.engine.step_rows import BY_ID, KIND, OF_RUN, PREFIX, to_step
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import Row, Transaction, first
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.validation import check_id


class Steps(Resource):
    """Steps of one tenant's runs."""

    def _row(self, step_id: str) -> Transaction[Row]:
        row = first((yield BY_ID(id=step_id, tenant=self._tenant)))
        if row is None:
            raise NotFoundError.for_id(KIND, step_id)
        return row

    async def aretrieve(self, step_id: str) -> RunStep:
        """Return a step.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(step_id, "step_id", PREFIX)
        row = await self._workplace.database.read(self._row(step_id))
        return self.bound(to_step(row))

    def _list(self, run_id: str) -> ObjectList:
        check_id(run_id, "run_id", "run_")

        def anchor(step_id: str) -> Transaction[int]:
            row = yield from self._row(step_id)
            if row["run_id"] != run_id:
                raise NotFoundError.for_id(KIND, step_id)
            return int(row["seq"])

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            yield from run_row(run_id, self._tenant)
            return (yield from read_slice(OF_RUN, params, anchor, run_id=run_id))

        return ObjectList(self._workplace, read, lambda row: self.bound(to_step(row)))

    def alist(
        self, run_id: str, **params: Unpack[ListParams]
    ) -> AsyncPaginator[RunStep]:
        """List a run's steps: await a page, or iterate over all of them."""
        return self._list(run_id).paginate(list_params(**params))

    def list(self, run_id: str, **params: Unpack[ListParams]) -> Page[RunStep]:
        """List a run's steps; iterating goes on over all pages."""
        return self._list(run_id).page(list_params(**params))

    retrieve = blocking(aretrieve)
