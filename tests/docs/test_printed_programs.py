"""What the documentation prints runs as printed: README and examples."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import warm
from tests.openai_server import OpenAIServer, example_of, tutor

from langchain_assistants import (
    AssistantsEngine,
    Settings,
    cli,
    create_assistant_graph,
)
from langchain_assistants.testing import Reply, call

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A scripted OpenAI-compatible server for a process of its own."""
    with OpenAIServer() as running:
        yield running


def run(program: list[str], server: OpenAIServer, folder: Path) -> str:
    """Run a Python program as a user would, and return what it printed."""
    database = folder / "printed.db"
    done = warm.run(
        [sys.executable, *program],
        cwd=ROOT,
        env={
            **os.environ,
            **server.env,
            "LANGCHAIN_ASSISTANTS_DATABASE_URL": f"sqlite:///{database}",
        },
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python_blocks(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_block_of_the_readme_runs_twice_on_one_thread(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("README.md")
    server.answer(
        Reply(tool_calls=[call("add", {"a": 2, "b": 2})]), "Four.", "Still four."
    )
    assert run(["-c", block], server, tmp_path) == "Four.\n"
    assert run(["-c", block], server, tmp_path) == "Still four.\n"
    roles = [message["role"] for message in server.requests[-1].json["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    server.assert_consumed()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_without_a_key(
    example: Path, server: OpenAIServer, tmp_path: Path
) -> None:
    assert "scripted model" in run([str(example)], server, tmp_path)
    assert server.requests == []


def test_an_example_whose_code_cannot_run_here_says_what_to_do() -> None:
    done = warm.run(
        [sys.executable, "examples/hosted_tools.py", "--interpreter", "e2b"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "E2B_API_KEY"},
        timeout=120,
    )
    assert done.returncode == 1
    assert "set E2B_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def any_answer(asked: dict[str, Any]) -> Reply:
    """Answer as the tutor does, and in the format that is asked for."""
    wanted = asked.get("response_format")
    if wanted is None:
        return tutor(asked)
    return Reply(json.dumps(example_of(wanted["json_schema"]["schema"])))


# A real model's code runs in a real sandbox only: that example needs another key.
@pytest.mark.parametrize(
    "example",
    [path for path in EXAMPLES if path.stem != "arbitrary_tools"],
    ids=lambda path: path.stem,
)
def test_an_example_runs_with_a_named_model(
    example: Path, server: OpenAIServer, tmp_path: Path
) -> None:
    server.respond = any_answer
    said = run([str(example), "--model", "openai:gpt-4o"], server, tmp_path)
    assert "scripted" not in said
    assert server.requests


@pytest.mark.parametrize("model", [None, "openai:gpt-4o"])
def test_the_app_for_langgraphs_server_answers(
    model: str | None,
    server: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = ROOT / "examples" / "langgraph_app"
    if model:
        monkeypatch.setenv("ASSISTANT_MODEL", model)
        server.respond = tutor
    graphs = json.loads((app / "langgraph.json").read_text(encoding="utf-8"))["graphs"]
    file, _, name = graphs["support"].partition(":")
    program = (
        f"import runpy; graph = runpy.run_path({str(app / file)!r})[{name!r}]\n"
        "print(graph.invoke({'messages': 'Where is it?'})['messages'][-1].text)"
    )
    answer = run(["-c", program], server, tmp_path)
    assert "is on its way." in answer
    assert bool(server.requests) == bool(model)


def test_the_block_of_the_graph_page_asks_and_goes_on(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/langgraph.md")
    assert run(["-c", block], server, tmp_path) == "delete\nDone.\n"


def test_the_block_of_the_interpreters_page_computes(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/interpreters.md")
    code = "len([n for n in range(2, 100) if all(n % d for d in range(2, n))])"
    server.answer(
        Reply(tool_calls=[call("code_interpreter", {"python_code": code})]), "25."
    )
    assert run(["-c", block], server, tmp_path) == "25.\n"
    told = json.loads(server.requests[-1].json["messages"][-1]["content"])
    assert told["results"] == ["25"]


def test_the_block_of_the_code_interpreters_page_prints_what_it_says(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/code-interpreter.md")
    assert run(["-c", block], server, tmp_path) == "6 None\n"


def test_the_block_of_the_hosted_tools_page_prints_what_it_says(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/hosted-tools.md")
    printed = "It is 60: [total](sandbox:/mnt/data/total.txt). b'60'\n"
    assert run(["-c", block], server, tmp_path) == printed


def test_the_block_of_the_file_search_page_finds_and_cites(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/file-search.md")
    answer = "Hold the red button for ten seconds to reset the machine."
    printed = f"manual.md 0 57 {answer}\nmanual.md\n【0:0†manual.md】\n{answer}\n"
    assert run(["-c", block], server, tmp_path) == printed


def test_the_block_of_the_indexing_page_tells_what_failed(
    server: OpenAIServer, tmp_path: Path
) -> None:
    (block,) = python_blocks("docs/indexing.md")
    *told, first, second, third = run(["-c", block], server, tmp_path).splitlines()
    # Files may end before somebody looks.
    assert told[-1] == "vector_store.completed"
    assert first == "1 1"
    assert second.startswith("unsupported_file Files with extensions [.doc]")
    assert third == "The lamp is green."


def test_the_block_of_the_operations_page_runs(tmp_path: Path) -> None:
    (block,) = python_blocks("docs/operations.md")
    done = warm.run([sys.executable, "-c", block], cwd=tmp_path, timeout=120)
    assert (done.stdout, done.stderr) == ("app-backup.db True\n", "")


def test_the_commands_of_the_operations_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    AssistantsEngine().close()
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    for line in block.splitlines():
        program, *arguments = line.split()
        assert program == "langchain-assistants"
        assert cli.main(arguments) == 0
    assert (tmp_path / "today.db").exists()


def test_the_drawing_of_the_readme_is_that_of_the_graph() -> None:
    with AssistantsEngine("sqlite:///:memory:") as engine:
        graph = create_assistant_graph(
            "asst_any", engine=engine, interrupt_before_tools=True
        )
        drawn = graph.get_graph().draw_mermaid(with_styles=False)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"```mermaid\n(.*?)```", text, flags=re.DOTALL)
    assert printed.split() == drawn.split()


def test_every_setting_is_told_of() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CHANGELOG.md",
        "examples/README.md",
        "notebooks/README.md",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_each_guarantee_of_the_readme_names_tests_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    guarantees = text.split("## Guarantees")[1].split("##")[0]
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    rows = [line for line in guarantees.splitlines() if line.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert len(names) >= 8
    for name in names:
        assert re.search(rf"def test_{name}\b", tests), name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
