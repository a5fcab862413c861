"""What answers may show, link and cite, and texts cut at their marks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_assistants.engine.exhibits import Exhibits, Marking

FILES = {"/mnt/data/a.csv": "file-a", "/mnt/data/a.csv.gz": "file-gz"}
SOURCES = [
    {
        "marker": "0:1",
        "file_id": "file-s",
        "page": 3,
        "content": [{"type": "text", "text": "Cats purr."}],
    },
    {"marker": "2:0", "file_id": "file-t"},
]


def exhibits() -> Exhibits:
    filled = Exhibits()
    filled.link(FILES)
    filled.cite(SOURCES)
    return filled


PIECES = st.sampled_from(
    [
        "sandbox:/mnt/data/a.csv",
        "sandbox:/mnt/data/a.csv.gz",
        "sandbox:/mnt/data/unknown",
        "sandbox:",
        "sand",
        "【0:1†source】",
        "【2:0†a file.md】",
        "【7:7†source】",
        "【0:1",
        "【",
        "】",
        "s",
        " text ",
        "\n",
        "é😀",
    ]
)


@given(st.lists(PIECES, max_size=12), st.lists(st.integers(0, 200), max_size=12))
def test_marks_are_the_same_however_a_text_is_cut(
    parts: list[str], cuts: list[int]
) -> None:
    text = "".join(parts)
    whole = exhibits()
    places = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    marking = Marking(whole)
    told: list[tuple[str, list[dict[str, Any]] | None]] = []
    for start, end in pairwise(places):
        told += marking.feed(text[start:end])
    told += marking.rest()
    assert "".join(piece for piece, _ in told) == text
    heard = [mark for _, marks in told for mark in marks or ()]
    assert [mark.pop("index") for mark in heard] == list(range(len(heard)))
    assert heard == whole.annotations(text)
    for mark in heard:
        assert text[mark["start_index"] : mark["end_index"]] == mark["text"]


def test_only_what_is_known_is_linked_or_cited() -> None:
    text = "See sandbox:/mnt/data/a.csv, 【0:1†cats.md】 and 【9:9†dogs.md】."
    link, citation = exhibits().annotations(text)
    assert link["type"] == "file_path"
    assert link["file_path"] == {"file_id": "file-a"}
    assert citation["type"] == "file_citation"
    assert citation["file_citation"] == {
        "file_id": "file-s",
        "quote": "Cats purr.",
        "page": 3,
    }


def test_the_longer_of_two_names_is_linked() -> None:
    [link] = exhibits().annotations("sandbox:/mnt/data/a.csv.gz")
    assert link["file_path"] == {"file_id": "file-gz"}


def test_a_name_with_spaces_is_linked_plain_and_quoted() -> None:
    spaced = Exhibits()
    spaced.link({"/mnt/data/my file.csv": "file-m"})
    found = spaced.annotations(
        "[a](sandbox:/mnt/data/my file.csv) [b](sandbox:/mnt/data/my%20file.csv)"
    )
    assert [mark["file_path"]["file_id"] for mark in found] == ["file-m", "file-m"]


def test_without_exhibits_text_passes_at_once() -> None:
    marking = Marking(Exhibits())
    assert list(marking.feed("【0:1†sand")) == [("【0:1†sand", None)]
    assert list(marking.rest()) == []


def test_pictures_and_files_are_shown_once() -> None:
    shown = Exhibits()
    call = {
        "id": "call_1",
        "type": "code_interpreter",
        "code_interpreter": {
            "outputs": [{"type": "image", "image": {"file_id": "file-p"}}],
            "files": [{"path": "/mnt/data/x.csv", "file_id": "file-x"}],
        },
    }
    shown.took(call)
    shown.took(call)
    first = shown.show()
    assert (first.pictures, first.files) == (["file-p"], ["file-x"])
    assert shown.show().pictures == []
    shown.show_again(first)
    assert shown.show().files == ["file-x"]
