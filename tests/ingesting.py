"""Files on their way into vector stores, and a gate that holds them up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.stored import rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.retrieval.chunking import Chunking
from langchain_assistants.retrieval.parser import ChunkedDocument, Parser
from langchain_assistants.types import VectorStoreFile

SOON = 20.0
SMALL: Any = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50},
}
SENTENCE = "The lamp on the left tells that the device is ready. "


def upload(engine: AssistantsEngine, content: bytes, name: str = "a.txt") -> str:
    return engine.files.create(file=(name, content), purpose="assistants").id


def uploads(engine: AssistantsEngine, count: int = 1) -> list[str]:
    """Upload some files, of no type that can be searched; return their ids."""
    return [
        engine.files.create(file=b"text", purpose="assistants").id for _ in range(count)
    ]


def static(size: Any, overlap: Any) -> dict[str, Any]:
    """A field that says how files are cut, also into what is no size."""
    sizes = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}
    return {"chunking_strategy": {"type": "static", "static": sizes}}


def ended(engine: AssistantsEngine, store_id: str) -> dict[str, VectorStoreFile]:
    """Wait for a store's files; return them by id."""
    engine.vector_stores.wait(store_id, timeout=SOON)
    return {file.id: file for file in engine.vector_stores.files.list(store_id)}


def indexed(engine: AssistantsEngine, content: bytes, **fields: Any) -> VectorStoreFile:
    """Index a file in a store of its own."""
    store = engine.vector_stores.create()
    file_id = upload(engine, content)
    engine.vector_stores.files.create(store.id, file_id=file_id, **fields)
    return ended(engine, store.id)[file_id]


def chunks(engine: AssistantsEngine) -> list[dict[str, Any]]:
    return rows(engine, "SELECT * FROM chunks ORDER BY vector_store_id, file_id, idx")


class Gate:
    """Holds up whoever reads a file until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Close the gate in front of the parser."""
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        read = Parser.read

        def held(
            parser: Parser, path: Path, filename: str, chunking: Chunking
        ) -> ChunkedDocument:
            self.begun.release()
            assert self.open.wait(SOON)
            return read(parser, path, filename, chunking)

        monkeypatch.setattr(Parser, "read", held)

    def reached(self) -> None:
        """Wait until one more file is being read."""
        assert self.begun.acquire(timeout=SOON)
