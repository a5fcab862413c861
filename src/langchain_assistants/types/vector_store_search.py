"""Searches in vector stores: queries, attribute filters, results."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    NonEmpty,
    Opt,
    WireObject,
    broken_rule,
    by_type,
    one_of,
    request,
    tag,
)
from langchain_assistants.types.vector_stores import AttributeValue, FileText

MAX_FILTERS = 64
MAX_FILTER_DEPTH = 8
MAX_QUERIES = 32


class SearchResult(WireObject):
    """Be a piece of a file that answers a query.

    Extensions: `chunk_index` is its place among the file's chunks, `page` the page it
    begins on, from 1; `start` and `end` cut it from the file's text, in characters.
    """

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | bool | int | float] | None
    content: list[FileText]
    chunk_index: Opt[int] = None
    page: Opt[int] = None
    start: Opt[int] = None
    end: Opt[int] = None


class SearchResultsPage(WireObject):
    """Hold what a search found, best first."""

    object: Literal["vector_store.search_results.page"] = (
        "vector_store.search_results.page"
    )
    search_query: list[str]
    data: list[SearchResult] = Field(default_factory=list)
    has_more: bool = False
    next_page: str | None = None


@request
class Comparison(TypedDict):
    """Files whose attribute compares so with a value."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte"]
    key: NonEmpty
    value: AttributeValue


@request
class Membership(TypedDict):
    """Files whose attribute is, or is not, among some values."""

    type: Literal["in", "nin"]
    key: NonEmpty
    value: Array[AttributeValue]


@request
class Combination(TypedDict):
    """Files for which all filters hold, or any of them."""

    type: Literal["and", "or"]
    filters: Annotated[Array[Filter], Field(min_length=1)]


Filter = Annotated[
    Annotated[Comparison, tag("eq")]
    | Annotated[Comparison, tag("ne")]
    | Annotated[Comparison, tag("gt")]
    | Annotated[Comparison, tag("gte")]
    | Annotated[Comparison, tag("lt")]
    | Annotated[Comparison, tag("lte")]
    | Annotated[Membership, tag("in")]
    | Annotated[Membership, tag("nin")]
    | Annotated[Combination, tag("and")]
    | Annotated[Combination, tag("or")],
    by_type,
]


def _measure(item: dict[str, Any], depth: int) -> int:
    """Count the comparisons of a filter."""
    if depth > MAX_FILTER_DEPTH:
        raise broken_rule(
            "invalid_value",
            f"Invalid '{{path}}': Expected at most {MAX_FILTER_DEPTH} nested filters.",
        )
    if "filters" not in item:
        return 1
    return sum(_measure(inner, depth + 1) for inner in item["filters"])


def _is_small(value: dict[str, Any]) -> dict[str, Any]:
    if _measure(value, 1) > MAX_FILTERS:
        raise broken_rule(
            "invalid_value",
            f"Invalid '{{path}}': Expected at most {MAX_FILTERS} comparisons.",
        )
    return value


Query = Annotated[
    Annotated[str, tag("string")]
    | Annotated[Array[str], Field(min_length=1, max_length=MAX_QUERIES), tag("array")],
    one_of("a string or an array of strings"),
]


def _count_for_something(value: dict[str, Any]) -> dict[str, Any]:
    if not value["embedding_weight"] and not value["text_weight"]:
        raise broken_rule(
            "invalid_value",
            "Invalid '{path}': Expected 'embedding_weight' or 'text_weight' to be "
            "greater than 0.",
        )
    return value


@request
class HybridSearch(TypedDict):
    """How much vectors and words count; extension: the Responses API has it."""

    embedding_weight: Annotated[float, Field(ge=0, le=1)]
    text_weight: Annotated[float, Field(ge=0, le=1)]


@request
class SearchRankingOptions(TypedDict, total=False):
    """How results are ranked, and from which score on one is kept.

    Any `ranker` but `none` is the engine's reranker, if it has one.
    """

    ranker: Literal["none", "auto", "default-2024-11-15"] | None
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None
    hybrid_search: Annotated[HybridSearch, AfterValidator(_count_for_something)] | None


@request
class VectorStoreSearch(TypedDict, total=False):
    """A search in a vector store."""

    query: Required[Query]
    filters: Annotated[Filter, AfterValidator(_is_small)] | None
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None
    ranking_options: SearchRankingOptions | None
    rewrite_query: bool | None
