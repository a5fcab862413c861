"""What the pages on migrating print runs as printed, one block after the other."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import warm
from tests.acceptance.program import environment
from tests.acceptance.test_serve import Served
from tests.openai_server import OpenAIServer

from langchain_assistants import cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "migrating"
ASSISTANTS = (FOLDER / "openai-assistants.md").read_text(encoding="utf-8")
RUNNABLE = (FOLDER / "openai-assistant-runnable.md").read_text(encoding="utf-8")
NPM = ROOT / ".clients" / "npm"
PRINTED = "http://127.0.0.1:8000/v1"
NAME = "Your name is Ada."


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


IMPORT, SERVE, CURL, EXPORT = blocks(ASSISTANTS, "bash")


@pytest.fixture
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, with what he has saved taken in as the page says."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (saved,) = blocks(ASSISTANTS, "json")
    (tmp_path / "saved.jsonl").write_text(saved, encoding="utf-8")
    assert executed(IMPORT) == 2
    return tmp_path


def executed(block: str) -> int:
    """Execute the commands of a block; return how many there are."""
    lines = block.splitlines()
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "langchain-assistants"
        assert cli.main(arguments) == 0
    return len(lines)


@pytest.fixture
def served(upstream: OpenAIServer, home: Path) -> Iterator[Served]:
    """The server as the page starts it."""
    _, _, *options = shlex.split(SERVE)
    running = Served(home, upstream.env, *options)
    yield running
    code, _ = running.end()
    assert code == 0


def printed(*program: str, home: Path, server: OpenAIServer, url: str = PRINTED) -> str:
    """Run a program with the server's address in place of the printed one."""
    done = warm.run(
        [part.replace(PRINTED, url) for part in program],
        env=environment(home, server.env),
        cwd=home,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(upstream: OpenAIServer) -> list[str]:
    """Return the texts that the model saw last, but for its instructions."""
    messages = upstream.requests[-1].json["messages"]
    return [message["content"] for message in messages if message["role"] != "system"]


def test_an_imported_thread_goes_on_by_its_address(
    upstream: OpenAIServer, served: Served, home: Path
) -> None:
    upstream.answer(NAME, NAME)
    over_http, _ = blocks(ASSISTANTS, "python")
    program = (sys.executable, "-c", over_http)
    assert printed(*program, home=home, server=upstream, url=served.url) == f"{NAME}\n"
    question = "What is my name?"
    assert asked(upstream) == ["My name is Ada.", "Hello, Ada.", question]
    commands = ("bash", "-euc", CURL)
    assert printed(*commands, home=home, server=upstream, url=served.url) == "1\n"
    assert asked(upstream)[2:] == [question, NAME, question]


@pytest.mark.clients
@pytest.mark.parametrize("package", ["npm"])
def test_an_imported_thread_goes_on_from_javascript(
    package: str, upstream: OpenAIServer, served: Served, home: Path
) -> None:
    upstream.answer(NAME)
    (program,) = blocks(ASSISTANTS, "js")
    (home / "node_modules").symlink_to(NPM / "node_modules")
    (home / "bot.mjs").write_text(program.replace(PRINTED, served.url))
    node = str((NPM / "node").resolve())
    assert printed(node, "bot.mjs", home=home, server=upstream) == f"{NAME}\n"


def test_an_imported_thread_goes_on_without_a_server_and_comes_out(
    upstream: OpenAIServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.answer(NAME)
    _, in_process = blocks(ASSISTANTS, "python")
    program = (sys.executable, "-c", in_process)
    assert printed(*program, home=home, server=upstream) == f"{NAME}\n"
    capsys.readouterr()
    assert executed(EXPORT) == 3
    [line] = capsys.readouterr().out.splitlines()
    chat = json.loads((home / "chats.jsonl").read_text(encoding="utf-8"))
    contents = [message["content"] for message in chat["messages"]]
    assert contents == ["My name is Ada.", "Hello, Ada.", "What is my name?", NAME]
    assert len(json.loads(line)["messages"]) == 4
    messages = (home / "everything" / "messages.jsonl").read_text(encoding="utf-8")
    assert len(messages.splitlines()) == 4


def test_the_runnable_begins_a_thread_and_goes_on_with_an_imported_one(
    upstream: OpenAIServer, home: Path
) -> None:
    upstream.answer("Hello, Ada.", NAME, NAME)
    for program in blocks(RUNNABLE, "python"):
        said = printed(sys.executable, "-c", program, home=home, server=upstream)
        assert said == f"{NAME}\n"
        assert asked(upstream) == ["My name is Ada.", "Hello, Ada.", "What is my name?"]
    upstream.assert_consumed()


@pytest.mark.parametrize(
    "page",
    ["openai-assistants.md", "openai-assistant-runnable.md", "../conformance.md"],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (FOLDER / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((FOLDER / page).parent / target).exists(), target
