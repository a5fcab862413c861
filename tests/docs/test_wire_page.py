"""The programs of docs/wire.md print what the page says they do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests import warm
from tests.acceptance.program import environment
from tests.acceptance.test_serve import Served
from tests.openai_server import OpenAIServer

from langchain_assistants.testing import Reply, call

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
NPM = ROOT / ".clients" / "npm"
PRINTED = "http://127.0.0.1:8000/v1"

SAN_FRANCISCO = {"city": "San Francisco"}
CALLS = Reply(
    tool_calls=[call(name, SAN_FRANCISCO) for name in ("get_weather", "get_nickname")]
)
WEATHER = "16 degrees in the City by the Bay."


def block(language: str) -> tuple[str, str]:
    """Return the program in a language, and what the page says that it prints."""
    (found,) = re.findall(
        rf"```{language}\n(.*?)```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL
    )
    return found


@pytest.fixture
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def served(upstream: OpenAIServer, tmp_path: Path) -> Iterator[Served]:
    """The server, started with the options that the page prints."""
    (options,) = re.findall(r"^langchain-assistants serve (.*)$", PAGE, re.MULTILINE)
    running = Served(tmp_path, upstream.env, *options.split())
    yield running
    code, _ = running.end()
    assert code == 0


def printed(
    *program: str, served: Served, folder: Path, env: Mapping[str, str] | None = None
) -> str:
    """Run a program with the server's address in place of the printed one."""
    done = warm.run(
        [part.replace(PRINTED, served.url) for part in program],
        env=environment(folder, env),
        cwd=folder,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_program_prints_what_the_page_says(
    upstream: OpenAIServer, served: Served, tmp_path: Path
) -> None:
    program, said = block("python")
    upstream.answer(CALLS, WEATHER, "Bring a jacket.")
    assert (
        printed(sys.executable, "-c", program, served=served, folder=tmp_path) == said
    )
    assert {request.json["model"] for request in upstream.requests} == {"gpt-4o"}


def test_the_curl_commands_print_what_the_page_says(
    upstream: OpenAIServer, served: Served, tmp_path: Path
) -> None:
    program, said = block("bash")
    upstream.answer(CALLS, WEATHER)
    assert printed("bash", "-euc", program, served=served, folder=tmp_path) == said


@pytest.mark.clients
@pytest.mark.parametrize("package", ["npm"])
def test_the_javascript_program_prints_what_the_page_says(
    package: str, upstream: OpenAIServer, served: Served, tmp_path: Path
) -> None:
    program, said = block("js")
    upstream.answer(CALLS, WEATHER, "Bring a jacket.")
    (tmp_path / "node_modules").symlink_to(NPM / "node_modules")
    (tmp_path / "bot.mjs").write_text(program.replace(PRINTED, served.url))
    node = str((NPM / "node").resolve())
    assert printed(node, "bot.mjs", served=served, folder=tmp_path) == said
