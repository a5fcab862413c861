"""What may be asked of a vector store, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.ingesting import uploads
from tests.unit.engine.conftest import Do

from langchain_assistants.errors import InvalidRequestError

QUERY = {"query": "How do I reset it?"}
EQ = {"type": "eq", "key": "k", "value": "v"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"query": ["a", "b"]},
        {"query": ""},
        dict.fromkeys(
            ("filters", "max_num_results", "ranking_options", "rewrite_query")
        ),
        {
            "filters": {
                "type": "and",
                "filters": [
                    EQ,
                    {"type": "or", "filters": [{**EQ, "type": "gte", "value": 1.5}]},
                    {"type": "nin", "key": "k", "value": ["v", 7]},
                ],
            },
            "max_num_results": 50,
            "ranking_options": {
                "ranker": "default-2024-11-15",
                "score_threshold": 0.5,
            },
            "rewrite_query": True,
        },
    ],
)
def test_a_search_finds_nothing_while_nothing_is_indexed(
    do: Do, engine_factory: EngineFactory, fields: dict[str, Any]
) -> None:
    engine = engine_factory()
    made = engine.vector_stores.create(file_ids=uploads(engine))
    fields = QUERY | fields
    query = "reset" if fields.get("rewrite_query") else fields["query"]
    assert do(engine.vector_stores.search, made.id, **fields).to_dict() == {
        "object": "vector_store.search_results.page",
        "search_query": [query] if isinstance(query, str) else query,
        "data": [],
        "has_more": False,
        "next_page": None,
    }


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = EQ
    for _ in range(depth - 1):
        found = {"type": "and", "filters": [found]}
    return found


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"query": None}, "invalid_type", "query"),
        ({"query": 7}, "invalid_type", "query"),
        ({"query": []}, "empty_array", "query"),
        ({"query": ["a", 7]}, "invalid_type", "query[1]"),
        ({"query": "\0"}, "invalid_value", "query"),
        ({"max_num_results": 0}, "integer_below_min_value", "max_num_results"),
        ({"max_num_results": 51}, "integer_above_max_value", "max_num_results"),
        ({"rewrite_query": "yes"}, "invalid_type", "rewrite_query"),
        (
            {"ranking_options": {"ranker": "best"}},
            "invalid_value",
            "ranking_options.ranker",
        ),
        (
            {"ranking_options": {"score_threshold": 1.5}},
            "decimal_above_max_value",
            "ranking_options.score_threshold",
        ),
        ({"filters": []}, "invalid_type", "filters"),
        ({"filters": {**EQ, "type": "like"}}, "invalid_value", "filters.type"),
        ({"filters": {"type": "eq"}}, "missing_required_parameter", "filters.key"),
        ({"filters": {**EQ, "value": None}}, "invalid_type", "filters.value"),
        ({"filters": {**EQ, "value": ["v"]}}, "invalid_type", "filters.value"),
        ({"filters": {**EQ, "type": "in"}}, "invalid_type", "filters.value"),
        (
            {"filters": {"type": "and", "filters": []}},
            "empty_array",
            "filters.filters",
        ),
        (
            {"filters": {"type": "or", "filters": [{**EQ, "extra": 1}]}},
            "unknown_parameter",
            "filters.filters[0].extra",
        ),
        ({"filters": nested(9)}, "invalid_value", "filters"),
        (
            {"filters": {"type": "or", "filters": [EQ] * 65}},
            "invalid_value",
            "filters",
        ),
    ],
)
def test_a_search_that_breaks_a_rule_says_which(
    engine_factory: EngineFactory, fields: dict[str, Any], code: str, param: str
) -> None:
    engine = engine_factory()
    made = engine.vector_stores.create()
    with pytest.raises(InvalidRequestError) as error:
        engine.vector_stores.search(made.id, **QUERY | fields)
    assert (error.value.code, error.value.param) == (code, param)


def test_filters_may_be_as_deep_and_as_many_as_allowed(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = engine.vector_stores.create()
    for filters in (nested(8), {"type": "or", "filters": [EQ] * 64}):
        assert not engine.vector_stores.search(made.id, **QUERY, filters=filters).data
