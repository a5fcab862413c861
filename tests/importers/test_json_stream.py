"""Objects are found in JSON of any shape and length; faults are told by line."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest

from langchain_assistants.importers import json_stream
from langchain_assistants.importers.json_stream import Fault, Found, find_objects


def is_named(item: dict[str, Any]) -> bool:
    return "id" in item


def found(text: str) -> list[str | tuple[int, str]]:
    """Return the ids of what is found, and the lines and words of faults."""
    return [
        item.value["id"] if isinstance(item, Found) else tuple(item)
        for item in find_objects(io.StringIO(text), is_named)
    ]


THREE = [{"id": "a"}, {"id": "b"}, {"id": "c"}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(THREE),
        json.dumps(THREE, indent=2),
        "\n".join(map(json.dumps, THREE)),
        "".join(map(json.dumps, THREE)),
        json.dumps({"object": "list", "data": THREE, "has_more": False}),
        json.dumps({"data": THREE, "object": "list"}),
        json.dumps({"exported": {"at": 1}, "pages": [{"data": THREE[:2]}, THREE[2:]]}),
        json.dumps({"thread": THREE[0], "messages": {"data": THREE[1:]}}, indent=1),
    ],
    ids=[
        "array",
        "indented array",
        "lines",
        "one after the other",
        "list page",
        "list page as the SDK dumps it",
        "nested",
        "a thread with its messages",
    ],
)
def test_objects_are_found_wherever_they_are(text: str) -> None:
    assert found(text) == ["a", "b", "c"]


def test_what_is_found_is_told_with_its_line_and_whether_it_was_listed() -> None:
    text = '{"id": "a"}\n\n{"object": "list", "data": [\n  {"id": "b"}]}\n'
    items = list(find_objects(io.StringIO(text), is_named))
    assert [(i.line, i.listed) for i in items if isinstance(i, Found)] == [
        (1, False),
        (4, True),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_where_the_text_is_cut_while_reading_changes_nothing(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    items = [{"id": "a", "n": 1234567890}, {"id": "ä\\u", "x": [True, None, 1.5e10]}]
    text = json.dumps({"count": 12345, "data": items}, indent=1)
    values = [
        item.value
        for item in find_objects(io.StringIO(text), is_named)
        if isinstance(item, Found)
    ]
    assert values == items


def test_after_a_broken_line_the_next_ones_are_read() -> None:
    lines = [
        '{"id": "a"}',
        '{"id": "b", "object": "x", "parts": [1, ',
        '{"id": "c"}',
        '{"id": "d" "e"}',
        '{"id": "f"}',
    ]
    items = found("\n".join(lines))
    assert [item for item in items if isinstance(item, str)] == ["a", "c", "f"]
    assert [item[0] for item in items if not isinstance(item, str)] == [2, 4]


def test_what_comes_before_the_end_of_a_truncated_page_is_found() -> None:
    text = json.dumps({"object": "list", "data": THREE}, indent=2)
    cut = text[: text.index('"c"') + 1]
    line = cut.count("\n") + 1
    assert found(cut) == ["a", "b", (line, "the text ends in the middle of a value")]


def test_a_broken_element_of_an_array_with_one_on_each_line_is_skipped() -> None:
    text = '[\n{"id": "a"},\n{"id": oops},\n{"id": "c"}\n]\n'
    assert found(text) == ["a", (3, "the JSON is broken: expecting value"), "c"]


@pytest.mark.parametrize(
    "text", ["{}", '[{"x": 1}, "two"]', '"text"', '{"name": "x"}', "nothing", "[[]] 1"]
)
def test_text_without_objects_is_a_fault(text: str) -> None:
    [(line, why)] = found(text)
    assert line == 1
    assert why in (
        "there is no object of the Assistants API here",
        "the JSON is broken: expecting value",
    )


def test_an_empty_page_is_no_fault() -> None:
    assert found('{"data": [], "object": "list"}') == []
    assert found('{"object": "list", "data": []}') == []
    assert found("") == found(" \n ") == []


def test_deep_nesting_is_a_fault_not_a_crash() -> None:
    [(line, why)] = found("[" * 100_000)
    assert (line, why) == (1, "it is nested too deeply")
    items = found('{"id": "a"}\n' + '{"x":' * 100_000 + '\n{"id": "b"}')
    assert (items[0], items[-1]) == ("a", "b")


def test_a_text_that_is_no_end_is_read_in_constant_memory() -> None:
    class Endless(io.TextIOBase):
        """Thirty megabytes of one list page."""

        left = 30

        def read(self, size: int | None = -1, /) -> str:
            if self.left == 0:
                return ""
            self.left -= 1
            piece = json.dumps({"id": "a", "text": "x" * 10_000}) + ","
            head = '{"data": [' if self.left == 29 else ""
            return head + piece * 100

    tracemalloc.start()
    try:
        number = sum(
            isinstance(item, Found)
            for item in find_objects(Endless(), is_named)  # type: ignore[arg-type]
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 3_000
    assert peak < 20_000_000


def test_a_value_without_end_is_a_fault() -> None:
    text = '{"id": "' + "x" * (json_stream.MAX_OBJECT * 2) + '"}\n{"id": "b"}'
    fault, last = found(text)
    assert isinstance(fault, tuple)
    assert "characters" in fault[1]
    assert last == "b"


def test_a_fault_quotes_nothing_of_the_text() -> None:
    [fault] = find_objects(io.StringIO('{"secret": password}'), is_named)
    assert isinstance(fault, Fault)
    assert "password" not in fault.why
