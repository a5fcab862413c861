"""Files and vector stores come from where they live on, through OpenAI's client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.importers import saved_data as data

from langchain_assistants import AssistantsEngine, cli

TEXT = "How to sell."
LOST = "file-L0stL0stL0stL0stL0st00"


class Scripted(BaseHTTPRequestHandler):
    """Answers as OpenAI does for one customer with three files and one store."""

    files = (
        data.file(data.CHART, "chart.png", data.PNG, "assistants_output"),
        data.file(data.MANUAL, "manual.pdf", b"%PDF", "assistants"),
        data.file(LOST, "lost.txt", b"lost", "assistants"),
    )

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if self.headers["authorization"] != "Bearer sk-test":
            return self.reply(401, {"error": {"message": "Wrong key.", "code": "no"}})
        if path == "/v1/files":
            # In pages of two.
            after = [
                file["id"] for file in self.files if f"after={file['id']}" in query
            ]
            ids = [file["id"] for file in self.files]
            start = ids.index(after[0]) + 1 if after else 0
            page = self.files[start : start + 2]
            more = start + 2 < len(self.files)
            return self.reply(200, data.page(page[::-1]) | {"has_more": more})
        if path == "/v1/vector_stores":
            return self.reply(200, data.page([data.store()]))
        if path == f"/v1/vector_stores/{data.STORE}/files":
            return self.reply(200, data.page([data.store_file()]))
        if path == f"/v1/vector_stores/{data.STORE}/files/{data.MANUAL}/content":
            texts = [{"type": "text", "text": part} for part in ("How to ", "sell.")]
            kind = "vector_store.file_content.page"
            body = {"object": kind, "data": texts, "has_more": False, "next_page": None}
            return self.reply(200, body)
        if path == f"/v1/files/{data.CHART}/content":
            return self.reply(200, data.PNG)
        message = "Not allowed to download files of purpose: assistants"
        return self.reply(400, {"error": {"message": message, "code": None}})

    def reply(self, status: int, body: Any) -> None:
        """Send an answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scripted OpenAI, to which the environment leads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("openai")
def test_files_and_vector_stores_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(tmp_path / "app.db")
    code = cli.main(["import", "--from-openai", "--database", database])
    shown = " ".join(capsys.readouterr().out.split())
    assert code == 1  # one file could not be had
    assert f"refused OpenAI file {LOST}: OpenAI does not let it be" in shown
    assert f"repaired OpenAI file {data.MANUAL}: OpenAI does not let it be" in shown
    with AssistantsEngine(f"sqlite:///{database}", recover=False) as engine:
        assert engine.files.content(data.CHART) == data.PNG
        manual = engine.files.retrieve(data.MANUAL)
        assert (manual.filename, manual.bytes) == ("manual.pdf.txt", len(TEXT))
        store = engine.vector_stores.retrieve(data.STORE)
        assert (store.name, store.created_at) == ("Manuals", data.BEGUN - 400)
        [attached] = engine.vector_stores.files.list(store.id)
        assert attached.id == data.MANUAL


@pytest.mark.usefixtures("openai")
def test_a_key_that_is_refused_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", "--from-openai", "--database", str(tmp_path / "app.db")]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    assert cli.main(arguments) == 1
    assert "Wrong key." in capsys.readouterr().err
    monkeypatch.delenv("OPENAI_API_KEY")
    assert cli.main(arguments) == 1
    assert "OPENAI_API_KEY" in capsys.readouterr().err
