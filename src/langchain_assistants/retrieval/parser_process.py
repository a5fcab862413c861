"""The process that reads hostile files: requests on its input, texts on its output.

`python -m langchain_assistants.retrieval.parser_process`, started by `parser`. It
imports little, so that it starts fast, and keeps nothing from file to file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

from langchain_assistants.retrieval.chunking import Chunk, Chunking, chunk
from langchain_assistants.retrieval.confinement import confine, renew_cpu_time
from langchain_assistants.retrieval.documents import (
    MAX_TOKENS,
    ParsedDocument,
    RefusedFile,
    invalid,
)
from langchain_assistants.retrieval.parsing import parse
from langchain_assistants.retrieval.tokens import token_count

_PIECE = 2**20


def read(
    path: Path, filename: str, chunking: Chunking
) -> tuple[ParsedDocument, list[Chunk]]:
    """Read a file and cut it.

    Raises:
        RefusedFile: It cannot be searched.
    """
    document = parse(path, filename)
    chunks = chunk(document.text, document.pages, chunking, token_count())
    # At most so many of them are in two chunks.
    repeated = chunking.overlap * (len(chunks) - 1)
    if sum(each.tokens for each in chunks) - repeated > MAX_TOKENS:
        raise invalid(
            f"The file has more than {MAX_TOKENS:,} tokens. Split it into several."
        )
    return document, chunks


def answer(request: dict[str, Any]) -> Iterator[bytes]:
    """Yield the answer to a request: a line of JSON, then the text it tells of."""
    try:
        document, chunks = read(
            Path(request["path"]),
            request["filename"],
            Chunking(*request["chunking"]),
        )
    except RefusedFile as refused:
        yield _line({"code": refused.code, "message": refused.message})
        return
    except MemoryError:
        yield _line(
            {
                "code": "invalid_file",
                "message": "The file needs more memory than it may have. Split it.",
            }
        )
        return
    text = document.text
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    size = sum(len(piece.encode()) for piece in pieces)
    yield _line({"bytes": size, "chunks": [astuple(each) for each in chunks]})
    for piece in pieces:
        yield piece.encode()


def _line(header: dict[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode() + b"\n"


def serve(requests: Iterable[bytes], answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        renew_cpu_time()
        for part in answer(json.loads(line)):
            answers.write(part)
        answers.flush()


def main() -> None:
    """Serve on the standard streams, confined."""
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not reach the answers.
    os.dup2(2, 1)
    # openpyxl would load it; its threads may need more memory than there is.
    sys.modules["numpy"] = None  # type: ignore[assignment]
    confine()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
