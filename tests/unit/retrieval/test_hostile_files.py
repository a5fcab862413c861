"""Hostile files: each ends with a typed refusal, and the next file is read."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.documents import (
    archive,
    billion_laughs,
    encrypted_pdf,
    pdf,
    pdf_bomb,
    placed,
    sheet_with_a_far_cell,
    slides,
    word,
    word_of,
)

from langchain_assistants.retrieval import parser as parsers
from langchain_assistants.retrieval import parser_process
from langchain_assistants.retrieval.chunking import Chunking
from langchain_assistants.retrieval.documents import RefusedFile
from langchain_assistants.retrieval.parser import ChunkedDocument, Parser

TEXT = b"A perfectly good text.\n" * 12_000
DEPTH = 200_000


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    """One process for all of them: a broken file does no harm to the next."""
    with Parser() as parser:
        yield parser


def reads_on(parser: Parser, folder: Path) -> None:
    document = parser.read(placed(folder, TEXT, "file-next"), "next.txt", Chunking())
    assert document.text.encode() == TEXT
    assert document.chunks[-1].end == len(TEXT)


def lying_archive() -> bytes:
    """A .docx file whose directory says that its body is small."""
    content = bytearray(word_of("<w:p/>" * 200_000))
    place = content.index(b"PK\x01\x02")
    while content[place + 46 : place + 63] != b"word/document.xml":
        place = content.index(b"PK\x01\x02", place + 1)
    content[place + 24 : place + 28] = (4_000).to_bytes(4, "little")
    return bytes(content)


def nested_archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        new.writestr("inner.docx", word("inner"))
    return out.getvalue()


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip bomb": ("a.docx", lambda: archive(1, 100 * 2**20), "times its size"),
    "many members": ("a.docx", lambda: archive(10_001, 0), "10,001 members"),
    "zip bomb that lies": ("a.docx", lying_archive, "no valid .docx"),
    "archive in an archive": ("a.docx", nested_archive, "no valid .docx"),
    "billion laughs": ("a.docx", billion_laughs, "no valid .docx"),
    "deep word": ("a.docx", lambda: word_of("<w:p>" * DEPTH), "no valid .docx"),
    "pdf bomb": ("a.pdf", pdf_bomb, "has no text"),
    "pdf named txt": ("a.txt", lambda: pdf(["x"]), "The file is a PDF"),
    "docx named md": ("a.md", lambda: word("x"), "an Office document"),
    "text named pdf": ("a.pdf", lambda: TEXT, "no valid .pdf"),
    "text named docx": ("a.docx", lambda: TEXT, "not what its extension says"),
    "pptx named docx": ("a.docx", lambda: slides("x"), "no valid .docx"),
    "docx named xlsx": ("a.xlsx", lambda: word("x"), "no valid .xlsx"),
    "docx named pptx": ("a.pptx", lambda: word("x"), "no valid .pptx"),
    "old word": ("a.docx", lambda: b"\xd0\xcf\x11\xe0" + b"x" * 99, "password"),
    "encrypted pdf": ("a.pdf", lambda: encrypted_pdf("secret"), "is encrypted"),
    "half a pdf": ("a.pdf", lambda: pdf(["x"])[:300], "no valid .pdf"),
    "empty": ("a.txt", lambda: b"", "has no text"),
    "only space": ("a.txt", lambda: b" \n\t", "has no text"),
    "image-only pdf": ("a.pdf", lambda: pdf(["", ""]), "If it was scanned"),
    "binary": ("a.txt", lambda: bytes(range(256)) * 9, "is not text"),
    "controls": ("a.txt", lambda: b"\xff\x01\x02\x03" * 99, "is not text"),
    "half a utf-16": ("a.txt", lambda: b"\xff\xfea\x00b", "begins as UTF-16-LE"),
    "bad utf-16": ("a.txt", lambda: b"\xfe\xff\xd8\x00\x00a", "begins as UTF-16-BE"),
    "html that never ends": ("a.html", lambda: b"<p><!-- " * 2_000_000, "has no text"),
    "100 MB of one line": ("a.txt", lambda: b"a" * 100_000_000, "50,000,000 char"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_and_the_next_one_read(
    parser: Parser, tmp_path: Path, kind: str
) -> None:
    filename, content, message = HOSTILE[kind]
    path = placed(tmp_path, content())
    with pytest.raises(RefusedFile) as refused:
        parser.read(path, filename, Chunking())
    assert refused.value.code == "invalid_file"
    assert message in refused.value.message
    reads_on(parser, tmp_path)


def test_a_text_may_be_too_large_to_be_looked_at(
    parser: Parser, tmp_path: Path
) -> None:
    path = placed(tmp_path, b"")
    os.truncate(path, 200_000_001)
    with pytest.raises(RefusedFile, match="50,000,000 char"):
        parser.read(path, "a.txt", Chunking())


@pytest.mark.parametrize(
    ("filename", "content", "text"),
    [
        ("a.html", b"<div>" * DEPTH + b"deep" + b"</div>" * DEPTH, "deep"),
        ("a.json", b"[" * DEPTH + b"]" * DEPTH, "[" * DEPTH + "]" * DEPTH),
        ("a.xlsx", sheet_with_a_far_cell(), f"# Sheet\n{chr(9) * 16_383}far\n\n"),
    ],
    ids=["html", "json", "xlsx"],
)
def test_depth_and_width_are_no_danger(
    parser: Parser, tmp_path: Path, filename: str, content: bytes, text: str
) -> None:
    path = placed(tmp_path, content)
    assert parser.read(path, filename, Chunking()).text == text


def test_too_many_pages_characters_or_tokens_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_assistants.retrieval import documents

    monkeypatch.setattr(documents, "MAX_PAGES", 2)
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 40)
    monkeypatch.setattr(parser_process, "MAX_TOKENS", 3)
    for content, filename, message in (
        (pdf(["a", "b", "c"]), "a.pdf", "more than 2 pages"),
        (slides("x" * 41), "a.pptx", "more than 40 characters"),
        (b"several words of text", "a.txt", "more than 3 tokens"),
    ):
        with pytest.raises(RefusedFile, match=message):
            parser_process.read(placed(tmp_path, content), filename, Chunking())


def started_otherwise(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let the process of a parser execute something else than to read."""
    started = parsers.subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        prelude = "from langchain_assistants.retrieval import parser_process as p\n"
        return started(
            [command[0], "-c", prelude + program],
            **options,  # type: ignore[call-overload]
        )

    monkeypatch.setattr(parsers.subprocess, "Popen", start)


def refusal(parser: Parser, folder: Path) -> RefusedFile:
    with pytest.raises(RefusedFile) as refused:
        parser.read(placed(folder, TEXT), "a.txt", Chunking())
    return refused.value


@pytest.mark.parametrize(
    "program",
    [
        "p.confine(); input(); bytearray(2**31)",
        "input(); print('{}', flush=True); input()",
        "input(); print('[]', flush=True); input()",
        'input(); print(\'{"code": "x"}\', flush=True); input()',
        "input(); print('{\"bytes\": -1}', flush=True); input()",
        'input(); print(\'{"bytes": 1, "chunks": [[0, 0, 9, 1, 1]]}\\nx\', '
        "end='', flush=True); input()",
    ],
)
def test_a_reader_that_fails_or_lies_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    with Parser() as parser:
        started_otherwise(monkeypatch, program)
        refused = refusal(parser, tmp_path)
    assert refused.code == "invalid_file"
    assert "ran out of time or memory, or crashed" in refused.message


def test_a_reader_that_died_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parser() as parser, monkeypatch.context() as patched:
        started_otherwise(patched, "import os; os.abort()")
        refusal(parser, tmp_path)
        patched.undo()
        reads_on(parser, tmp_path)


def test_a_file_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parser(wall_seconds=0.3) as parser:
        started_otherwise(monkeypatch, "import threading; threading.Event().wait()")
        assert "longer than 0 seconds" in refusal(parser, tmp_path).message


def test_a_file_that_uses_up_its_processor_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "from langchain_assistants.retrieval import confinement as c\n"
        "c.CPU_SECONDS = 0; c.confine(); c.renew_cpu_time()\n"
        "while True: pass"
    )
    with Parser() as parser:
        started_otherwise(monkeypatch, program)
        assert "ran out of time" in refusal(parser, tmp_path).message


def test_a_closed_parser_reads_nothing(tmp_path: Path) -> None:
    parser = Parser()
    parser.close()
    parser.close()
    assert refusal(parser, tmp_path).code == "server_error"


def test_a_file_that_is_gone_is_an_error_of_the_server(
    parser: Parser, tmp_path: Path
) -> None:
    with pytest.raises(RefusedFile, match="No such file") as refused:
        parser.read(tmp_path / "file-gone", "a.txt", Chunking())
    assert refused.value.code == "server_error"


def test_a_process_reads_so_many_files_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsers, "FILES_A_PROCESS", 2)
    started: list[int] = []
    start = parsers._start

    def counted() -> object:
        started.append(1)
        return start()

    monkeypatch.setattr(parsers, "_start", counted)
    with Parser() as parser:
        for _ in range(3):
            reads_on(parser, tmp_path)
    assert len(started) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_a_reader_has_no_files_network_programs_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hostile file could want, asked for by a reader that it has taken over."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    wanted = {
        "socket": "__import__('socket').socket()",
        "program": "os.execv('/bin/true', ['true'])",
        "file": f"open({str(tmp_path / 'written')!r}, 'wb', 0).write(b'x')",
        "memory": "bytearray(2**31)",
        "environment": "os.environ['OPENAI_API_KEY']",
    }
    program = f"""
import json, os
p.confine()
refused = []
for name, wish in {wanted!r}.items():
    try:
        exec(wish)
    except (OSError, MemoryError, KeyError):
        refused.append(name)
input()
header = {{"code": "invalid_file", "message": " ".join(refused)}}
print(json.dumps(header), flush=True)
"""
    with Parser() as parser:
        started_otherwise(monkeypatch, program)
        assert refusal(parser, tmp_path).message.split() == list(wanted)


def test_requests_are_answered_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's own loop, in this process: nothing of it is confined."""
    # Else the system would end this process, in whatever test it is by then.
    monkeypatch.setattr(parser_process, "renew_cpu_time", lambda: None)
    good, bad = placed(tmp_path, b"text", "file-1"), placed(tmp_path, b"", "file-2")
    requests = [
        b'{"path": "%s", "filename": "a.txt", "chunking": [800, 400]}\n'
        % os.fsencode(path)
        for path in (good, bad)
    ]
    answers = io.BytesIO()
    parser_process.serve(requests, answers)
    first, second = answers.getvalue().splitlines()
    assert first == b'{"bytes":4,"chunks":[[0,0,4,null,1]]}'
    assert second.startswith(b'text{"code":"invalid_file"')


def test_small_plain_texts_need_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "socket")
    monkeypatch.delattr(parsers.subprocess, "Popen")
    with Parser() as parser:
        document = parser.read(placed(tmp_path, b"text"), "a.txt", Chunking())
    assert isinstance(document, ChunkedDocument)
    assert document.text == "text"
