"""Reads query parameters; unknown ones are ignored, as Azure's clients need."""

from __future__ import annotations

import re
from typing import Any, Literal

from starlette.requests import Request
from typing_extensions import TypedDict

from langchain_assistants.types.base import request as request_body
from langchain_assistants.types.pages import ListParams
from langchain_assistants.types.validation import validate


@request_body
class Include(TypedDict):
    """What may be added to run steps."""

    include: list[Literal["step_details.tool_calls[*].file_search.results[*].content"]]


_INTEGER = re.compile(r"-?[0-9]{1,18}")


def list_query(request: Request, request_type: Any = ListParams) -> dict[str, Any]:
    """Return the checked parameters of a list; an empty one counts as absent.

    Raises:
        InvalidRequestError: One of them breaks a rule.
    """
    given: dict[str, Any] = {
        name: value
        for name, value in request.query_params.items()
        if name in request_type.__annotations__ and value
    }
    limit = given.get("limit")
    if limit is not None and _INTEGER.fullmatch(limit):
        given["limit"] = int(limit)
    return validate(request_type, given, surface="wire")


def included(request: Request) -> bool:
    """Tell whether the texts that searches found are asked for (`include[]`).

    Raises:
        InvalidRequestError: Something else is asked for.
    """
    query = request.query_params
    values = [*query.getlist("include[]"), *query.getlist("include")]
    return bool(validate(Include, {"include": values}, surface="wire")["include"])
