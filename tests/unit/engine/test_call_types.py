"""Calls in steps by type, and code read out of arguments that arrive in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_assistants.engine.call_types import (
    CodeStream,
    answer,
    for_model,
    found,
    is_open,
    new_call,
)

CODES = st.text(max_size=60)


@given(CODES, st.lists(st.integers(0, 400), max_size=8), st.booleans())
@example('print("😀\\n")', list(range(0, 60)), True)
def test_code_is_the_same_however_it_is_cut(
    code: str, cuts: list[int], ascii_only: bool
) -> None:
    arguments = json.dumps({"code": code}, ensure_ascii=ascii_only)
    places = sorted({0, len(arguments), *(c for c in cuts if c < len(arguments))})
    stream = CodeStream()
    heard = ""
    for start, end in pairwise(places):
        heard += stream.feed(arguments[start:end])
        assert code.startswith(heard)
    assert heard + stream.rest(code) == code
    assert stream.rest(code) == ""


@pytest.mark.parametrize(
    "arguments",
    ['{"other": 1, "code": "x"}', "print(1)", '{"code": 5}', '{"code": "\\q"}'],
)
def test_arguments_of_another_form_are_not_heard_as_code(arguments: str) -> None:
    stream = CodeStream()
    assert "".join(map(stream.feed, arguments)) == ""
    assert stream.rest("x = 1") == "x = 1"


def test_a_call_is_open_until_it_is_answered() -> None:
    call = new_call("code_interpreter", "call_1", "code_interpreter", "", {"code": "x"})
    assert is_open(call)
    answer(call, {"outputs": []})
    assert not is_open(call)
    assert for_model(call) == ("code_interpreter", '{"code": "x"}', "")


def test_a_hosted_call_that_failed_shows_why() -> None:
    code = new_call("code_interpreter", "call_1", "code_interpreter", "", {"code": 5})
    answer(code, "Error: no sandbox")
    assert for_model(code) == (
        "code_interpreter",
        '{"code": ""}',
        "Error: no sandbox",
    )
    search = new_call("file_search", "call_2", "file_search", "", {"query": "x"})
    answer(search, "Error: no store")
    assert for_model(search) == ("file_search", '{"query": "x"}', "")


def test_found_texts_are_shown_once_and_later_only_named() -> None:
    search = new_call("file_search", "call_1", "file_search", "", {"query": "cats"})
    result = {"file_id": "file-1", "file_name": "cats.md", "score": 0.5}
    content = [{"type": "text", "text": "Cats purr."}]
    results = [{**result, "content": content, "marker": "0:0"}]
    answer(search, {"results": results})
    assert found(results) == "【0:0†cats.md】\nCats purr."
    assert for_model(search)[2] == "【0:0†cats.md】"
