"""The command `chat` in real processes: through pipes, and on a real terminal."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.program import PATIENCE, Terminal, run
from tests.openai_server import Failure, OpenAIServer, tutor

from langchain_assistants.testing import Reply

MODEL = "openai:gpt-4o"
TOOLS = '''
from langchain_core.tools import tool

def light_minutes(distance_au: float) -> float:
    """Return the minutes light needs for a distance in astronomical units."""
    return round(distance_au * 8.3167, 1)

@tool
def shout(text: str) -> str:
    """Shout a text."""
    return text.upper()

TOOLS = [light_minutes, shout]
'''


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(tutor) as server:
        yield server


@pytest.fixture
def piped(server: OpenAIServer, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def chat(typed: str, *options: str) -> tuple[int, str, str]:
        done = run("chat", *options, home=tmp_path, env=server.env, typed=typed)
        return done.returncode, done.stdout, done.stderr

    return chat


def asked(server: OpenAIServer) -> list[str]:
    """The texts of the newest request, in order."""
    return [m["content"] for m in server.requests[-1].json["messages"]]


def statuses(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT status FROM runs ORDER BY seq")
        return [status for (status,) in found]


def test_without_a_key_it_says_exactly_what_to_set(tmp_path: Path) -> None:
    chat = run("chat", home=tmp_path, typed="Hello")
    assert chat.returncode == 1
    assert chat.stdout == ""
    headline = chat.stderr.splitlines()[0]
    assert headline == "error: No model to talk to: set OPENAI_API_KEY or pass --model."
    for way in ("OPENAI_API_KEY", "--model anthropic:", "--model ollama:"):
        assert way in chat.stderr
    assert list(tmp_path.rglob("*.db")) == []


def test_each_line_of_a_pipe_is_a_message(piped: Any, server: OpenAIServer) -> None:
    code, shown, complaints = piped("I am Ada.\n\nWho [am] I?\n")
    assert (code, complaints) == (0, "")
    assert shown == "You said: I am Ada.\nYou said: Who [am] I?\n"
    assert asked(server) == ["I am Ada.", "You said: I am Ada.", "Who [am] I?"]
    assert {request.json["model"] for request in server.requests} == {"gpt-4o"}


def test_the_same_thread_goes_on_tomorrow(
    piped: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    piped("I am Ada.\n")
    piped("Who am I?\n", "--model", MODEL)
    assert asked(server) == ["I am Ada.", "You said: I am Ada.", "Who am I?"]

    piped("Who am I?\n", "--thread", "other")
    assert asked(server) == ["Who am I?"]

    assert [file.name for file in tmp_path.rglob("*.db")] == ["assistants.db"]


def test_a_database_and_instructions_may_be_given(
    piped: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    file = tmp_path / "mine" / "talks.db"
    code, _, _ = piped("Hi\n", "--database", str(file), "--instructions", "Be brief.")
    assert code == 0
    assert asked(server) == ["Be brief.", "Hi"]
    assert statuses(file) == ["completed"]


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (
            "TOOLS",
            ["light_minutes(distance_au=2.0) → 16.6", 'shout(text="x") → X'],
        ),
        ("shout", ['shout(text="x") → X']),
    ],
)
def test_imported_tools_are_executed_and_shown(
    piped: Any, tmp_path: Path, name: str, called: list[str]
) -> None:
    (tmp_path / "mytools.py").write_text(TOOLS)
    code, shown, complaints = piped("Go\n", "--tools", f"mytools:{name}")
    assert (code, complaints) == (0, "")
    *calls, answer = shown.splitlines()
    assert calls == called
    assert answer.startswith("The tools say: ")


def test_tools_that_cannot_be_imported_are_said(piped: Any, tmp_path: Path) -> None:
    code, shown, complaints = piped("Go\n", "--tools", "nowhere:TOOLS")
    assert (code, shown) == (1, "")
    assert complaints == (
        "error: --tools nowhere:TOOLS: importing nowhere raised ModuleNotFoundError: "
        "No module named 'nowhere'\n"
    )
    assert list(tmp_path.rglob("*.db")) == []


def test_a_line_that_is_not_answered_ends_the_pipe(tmp_path: Path) -> None:
    refusal = Failure(401, "Incorrect API key provided.", code="invalid_api_key")
    with OpenAIServer([refusal]) as server:
        chat = run("chat", home=tmp_path, env=server.env, typed="One\nTwo\n")
    assert chat.returncode == 1
    assert re.match(r"error: Run run_\w+ on thread thread_\w+ failed", chat.stderr)
    assert "Incorrect API key provided." in chat.stderr
    assert len(server.requests) == 1


def test_a_conversation_on_a_terminal(server: OpenAIServer, tmp_path: Path) -> None:
    with Terminal("chat", home=tmp_path, env=server.env) as terminal:
        introduction = terminal.read_until("you> ")
        assert MODEL in introduction
        assert "Thread 'chat' in " in introduction
        terminal.press("I am Ada.\n")
        assert "You said: I am Ada." in terminal.read_until("you> ")

        terminal.press("/history\n")
        terminal.read_until("you> I am Ada.")
        terminal.read_until("assistant> You said: I am Ada.")
        terminal.read_until("you> ")

        terminal.press("/help\n")
        assert "/history   show the last 20 messages" in terminal.read_until("you> ")
        terminal.press("/dance\n")
        assert "There is no /dance." in terminal.read_until("you> ")
        terminal.press("\n")
        terminal.read_until("you> ")

        terminal.press("/new\n")
        came = re.search(r"--thread (\S+)", terminal.read_until("you> "))
        assert came
        terminal.press("Who am I?\n")
        assert "You said: Who am I?" in terminal.read_until("you> ")
        assert asked(server) == ["Who am I?"]

        terminal.press("/quit\n")
        assert terminal.exit_code() == 0

    options = ("chat", "--thread", came[1])
    with Terminal(*options, home=tmp_path, env=server.env) as terminal:
        assert "/history shows what was said" in terminal.read_until("you> ")
        terminal.press("\x04")
        assert terminal.exit_code() == 0
    assert len(server.requests) == 2


def test_several_lines_can_be_one_message(server: OpenAIServer, tmp_path: Path) -> None:
    with Terminal("chat", home=tmp_path, env=server.env) as terminal:
        terminal.read_until("you> ")
        terminal.press('"""\ndef f():\n    return 1\n"""\n')
        terminal.read_until("    return 1\r\n".replace("\r", ""))
        terminal.read_until("You said: def f():\n    return 1\n")
        terminal.read_until("you> ")

        terminal.press("\x1b[200~one\ntwo\x1b[201~\n")
        terminal.read_until("You said: one\ntwo\n")
        terminal.read_until("you> ")
        assert asked(server)[-1] == "one\ntwo"
        assert len(server.requests) == 2


def test_ctrl_c_stops_the_answer_and_frees_the_thread(tmp_path: Path) -> None:
    arrived, released = threading.Event(), threading.Event()
    file = tmp_path / "talks.db"

    def answer_late(asked: Any) -> Reply:
        arrived.set()
        return Reply("Too late.", wait_for=released)

    with OpenAIServer([answer_late, "Here."]) as server:
        options = ("chat", "--database", str(file))
        with Terminal(*options, home=tmp_path, env=server.env) as terminal:
            terminal.read_until("you> ")
            terminal.press("Think\n")
            assert arrived.wait(PATIENCE)
            terminal.press("\x03")
            assert "Stopped; the thread is free." in terminal.read_until("you> ")
            assert statuses(file) == ["cancelled"]
            released.set()

            terminal.press("Are you there?\n")
            assert "Here." in terminal.read_until("you> ")
            assert statuses(file) == ["cancelled", "completed"]
            terminal.press("\x04")
            assert terminal.exit_code() == 0
