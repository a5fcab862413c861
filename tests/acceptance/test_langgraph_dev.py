"""`langgraph dev` serves an assistant graph: a real server, asked over HTTP.

LangGraph's development server is large and changes often, so this is no part of the
main path: `make test-heavy`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.program import PATIENCE, environment

from langchain_assistants import AssistantsEngine

pytestmark = pytest.mark.heavy

APP = Path(__file__).parents[2] / "examples" / "langgraph_app"
ANSWER = "I looked it up: Order A1 is on its way."


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The database of the app."""
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the server said."""
    return tmp_path / "server.log"


@pytest.fixture
def client(tmp_path: Path, url: str, log: Path) -> Iterator[httpx.Client]:
    """A client of a server that has started."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    command = shutil.which("langgraph", path=os.pathsep.join(places))
    assert command, 'No command `langgraph`: pip install "langgraph-cli[inmem]"'
    app = shutil.copytree(APP, tmp_path / "app")  # the server writes beside the app
    settings = {
        "LANGCHAIN_ASSISTANTS_DATABASE_URL": url,
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [command, "dev", "--no-browser", "--no-reload", "--port", str(port)],
            cwd=app,
            env=environment(tmp_path, settings),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            # Seven retries wait for half a minute altogether.
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                transport=httpx.HTTPTransport(retries=7),
                timeout=PATIENCE,
            ) as client:
                yield client
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def ask(client: httpx.Client, thread_id: str, text: str) -> dict[str, Any]:
    """Ask the app on a thread of the server, and return the graph's state."""
    message = {"role": "user", "content": text}
    answer = client.post(
        f"/threads/{thread_id}/runs/wait",
        json={"assistant_id": "support", "input": {"messages": [message]}},
    )
    answer.raise_for_status()
    state: dict[str, Any] = answer.json()
    return state


def test_a_graph_answers_on_the_thread_of_the_server(
    client: httpx.Client, url: str, log: Path
) -> None:
    key = client.post("/threads", json={}).json()["thread_id"]

    states = [ask(client, key, text) for text in ("Where is A1?", "Still there?")]

    for state in states:
        assert "__error__" not in state, log.read_text()
        assert state["status"] == "completed"
        assert state["messages"][-1]["content"] == ANSWER
    assert "Blocking call" not in log.read_text()
    with AssistantsEngine(url, recover=False) as engine:
        thread = engine.threads.retrieve(states[0]["thread_id"])
        assert thread.key == key
        said = [m.text for m in engine.messages.list(thread.id, order="asc")]
    assert said == ["Where is A1?", ANSWER, "Still there?", ANSWER]
