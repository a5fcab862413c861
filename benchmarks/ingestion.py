"""Files on their way into a vector store: read, cut and indexed, without vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from benchmarks.file_search import Words
from benchmarks.measure import Effort, Sample, seconds
from benchmarks.rows import Budget, Row
from benchmarks.shelf import Shelf
from langchain_assistants import AssistantsEngine
from langchain_assistants.retrieval.chunking import Chunking
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.retrieval.parser import Parser
from langchain_assistants.testing import ScriptedChatModel

_CHUNKS_A_FILE = 500
_WORDS_A_CHUNK = 120
_LINES_A_PAGE = 45

_INDEXED = Budget(8_000, "value", "at least")
_READ = Budget(1_000, "value")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Index chunks that are at hand, files from their upload on, and read a PDF."""
    files = effort.of(full=100, short=2)
    words = Words(2)
    texts = [
        [words.text() for _ in range(_CHUNKS_A_FILE)] for _ in range(min(files, 20))
    ]
    with AssistantsEngine(
        f"sqlite:///{folder / 'ingestion.db'}", chat_model=ScriptedChatModel([])
    ) as engine:
        chunks = files * _CHUNKS_A_FILE
        taken = _indexed(engine, texts, files)
        what = f"index {chunks:,} chunks of {_WORDS_A_CHUNK} words"
        yield Row("ingestion", what, chunks / taken, "chunks/s", budget=_INDEXED)
        count, taken = _ingested(engine, texts)
        what = f"upload, cut and index {count:,} chunks of 800 tokens"
        yield Row("ingestion", what, count / taken, "chunks/s")
    pages = effort.of(full=100, short=3)
    path = folder / "report"
    _write_pdf(path, pages, words)
    with Parser() as parser:
        parser.read(path, "report.pdf", Chunking())  # starts the process
        sample = Sample(
            [
                seconds(lambda: parser.read(path, "report.pdf", Chunking()))
                for _ in range(effort.of(full=5, short=1))
            ]
        )
    what = f"read and cut a PDF of {pages} pages"
    yield Row("ingestion", what, sample.median, "ms", budget=_READ)


def _indexed(engine: AssistantsEngine, texts: list[list[str]], files: int) -> float:
    """Index chunks in files; return the seconds."""
    shelf = Shelf(engine)
    taken = 0.0
    for number in range(files):
        chunks = [
            StoredChunk(place, 0, len(text), None, _WORDS_A_CHUNK, text)
            for place, text in enumerate(texts[number % len(texts)])
        ]
        begun = time.perf_counter()
        shelf.add(chunks)
        taken += time.perf_counter() - begun
    return taken


def _ingested(engine: AssistantsEngine, texts: list[list[str]]) -> tuple[int, float]:
    """Upload files and wait until they are indexed; return chunks and seconds."""
    store = engine.vector_stores.create()
    begun = time.perf_counter()
    file_ids = [
        engine.files.create(
            file=("text.md", "\n".join(lines).encode()), purpose="assistants"
        ).id
        for lines in texts
    ]
    engine.vector_stores.file_batches.create(store.id, file_ids=file_ids)
    engine.vector_stores.wait(store.id)
    taken = time.perf_counter() - begun
    text = sum(len(" ".join(lines)) for lines in texts)
    found = engine.vector_stores.retrieve(store.id)
    assert found.file_counts.completed == len(texts)
    assert found.usage_bytes > text
    return _count(engine, store.id), taken


def _count(engine: AssistantsEngine, store_id: str) -> int:
    import sqlite3
    from contextlib import closing

    path = engine.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        [(count,)] = connection.execute(
            "SELECT count(*) FROM chunks WHERE vector_store_id = ?", (store_id,)
        )
    return int(count)


def _write_pdf(path: Path, pages: int, words: Words) -> None:
    """Write a PDF of full pages of text."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    for _ in range(pages):
        page = writer.add_blank_page(612, 792)
        lines = [words.text()[:90] for _ in range(_LINES_A_PAGE)]
        shown = "".join(f"({line}) Tj T* " for line in lines)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 10 Tf 14 TL 36 756 Td {shown}ET".encode())
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page.replace_contents(content)
    writer.write(path)
