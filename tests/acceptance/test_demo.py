"""The command `demo` in real processes: what it promises, shows and leaves behind."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.acceptance.program import PATIENCE, run, start
from tests.openai_server import Failure, OpenAIServer, tutor

from langchain_assistants import cli
from langchain_assistants.engine import driver
from langchain_assistants.storage.database import Transaction
from langchain_assistants.terminal.demo import EIGHT_LINES
from langchain_assistants.terminal.observatory import ORDER
from langchain_assistants.terminal.tutor import FOLLOW_UP, GREETING, TWO_QUESTIONS

MODEL = "openai:gpt-4o"


def rows(file: Path, statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchall()


def texts(file: Path) -> list[str]:
    """The texts of all messages, in order."""
    found = rows(file, "SELECT content FROM messages ORDER BY thread_id, seq")
    return [
        "".join(part["text"]["value"] for part in json.loads(content))
        for (content,) in found
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user who has seen the demo."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def demo(home: Path) -> CompletedProcess[str]:
    """One demo for all who only look at what it showed and left."""
    return run("demo", home=home)


def test_every_promise_of_the_demo_holds(
    demo: CompletedProcess[str], home: Path
) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    assert "scripted model: no LLM is called" in demo.stdout
    assert "light_minutes(distance_au=30.07) → 250.1" in demo.stdout
    assert "year_length(distance_au=30.07) → 164.9" in demo.stdout
    assert re.search(r"message\.delta x \d\d", demo.stdout)
    assert "✗" not in demo.stdout
    assert re.search(r"Every check held, in \d+\.\d s\.", demo.stdout)
    assert EIGHT_LINES in demo.stdout
    (file,) = home.rglob("tutor.db")
    assert str(file) in demo.stdout
    (thread_id,) = rows(file, "SELECT id FROM threads")[0]
    assert f"engine.threads.delete('{thread_id}')" in demo.stdout


def test_a_second_process_and_a_second_demo_go_on_in_the_thread(
    tmp_path: Path,
) -> None:
    file = tmp_path / "my tutor.db"

    demo = run("demo", "--database", str(file), home=tmp_path)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    said = texts(file)
    assert said[0::2] == [GREETING, TWO_QUESTIONS, FOLLOW_UP, ORDER]
    assert "You are Ada" in said[5]
    assert "164.9" in said[5]
    assert rows(file, "SELECT DISTINCT status FROM runs") == [("completed",)]
    assert re.search(r"process  \d+ opened my tutor\.db", demo.stdout)
    assert f"rm '{file}'" in demo.stdout

    again = run("demo", "--database", str(file), home=tmp_path)

    assert again.returncode == 0, again.stdout + again.stderr
    assert rows(file, "SELECT count(*) FROM threads") == [(1,)]
    assert rows(file, "SELECT count(*) FROM assistants") == [(2,)]
    assert texts(file)[:8] == said
    assert len(texts(file)) == 16


def test_a_killed_process_is_replaced_and_the_screen_tells_the_truth(
    demo: CompletedProcess[str], home: Path
) -> None:
    (file,) = home.rglob("tutor.db")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    shown = " ".join(demo.stdout.split())
    begun = re.findall(r"process (\d+),?(?: this one,)? begins (\w+)", shown)
    [killed] = re.findall(r"kill -9 (\d+): the output of book_telescope is", shown)
    [heir] = re.findall(r"process (\d+), this one, begins", shown)
    assert killed != heir
    assert sorted(begun) == sorted(
        [
            (killed, "book_telescope"),
            (killed, "print_charts"),
            (heir, "print_charts"),
        ]
    )
    [(run_id, attempt, status)] = rows(
        file,
        "SELECT id, attempt, status FROM runs WHERE assistant_id = "
        "(SELECT id FROM assistants WHERE name = 'Observatory')",
    )
    assert (attempt, status) == (2, "completed")
    assert re.search(rf"{run_id} completed \d+\.\d s after the kill", shown)
    # The functions return the process that executed them.
    [(details,)] = rows(
        file,
        "SELECT details FROM run_steps "
        f"WHERE run_id = '{run_id}' AND type = 'tool_calls'",
    )
    booked, printed = json.loads(details)["tool_calls"]
    assert booked["function"]["output"] == f"booked for 22:00 by process {killed}"
    assert printed["function"]["output"] == f"30 charts printed by process {heir}"
    assert f"book_telescope ran once, in {killed}: what is recorded is" in shown
    assert (
        f"print_charts ran twice, in {killed}, then in {heir}, under the same id, "
        f"{printed['id']}: a tool with outside effects should take it as its "
        "idempotency key"
    ) in shown


def test_a_call_that_is_executed_again_although_it_is_recorded_breaks_the_promise(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_outputs(run_id: str) -> Transaction[dict[str, bytes]]:
        yield from ()
        return {}

    monkeypatch.setattr(driver, "recorded_outputs", no_outputs)

    assert cli.main(["demo", "--database", str(tmp_path / "tutor.db")]) == 1

    shown = " ".join(capsys.readouterr().out.split())
    assert "✗ book_telescope ran twice" in shown
    assert "What did not hold: book_telescope ran twice" in shown


def test_with_a_model_it_runs_for_real(tmp_path: Path) -> None:
    file = tmp_path / "tutor.db"
    with OpenAIServer(tutor) as server:
        arguments = ("demo", "--model", MODEL, "--database", str(file))
        demo = run(*arguments, home=tmp_path, env=server.env)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "scripted" not in demo.stdout
    assert "light_minutes(distance_au=2.0) → 16.6" in demo.stdout
    assert "year_length(distance_au=2.0) → 2.8" in demo.stdout
    assert "The tools say: 16.6; 2.8" in texts(file)[3]
    assert "kill -9" in demo.stdout
    assert rows(file, "SELECT max(attempt) FROM runs") == [(2,)]
    # Nobody listens to the run that was taken over.
    assert all(request.json["stream"] for request in server.requests[:-1])
    asked = server.requests[-1].json["messages"]
    assert [m["content"] for m in asked if m["role"] == "user"] == [
        GREETING,
        TWO_QUESTIONS,
        FOLLOW_UP,
        ORDER,
    ]


def test_a_model_that_calls_no_function_is_no_failure(tmp_path: Path) -> None:
    with OpenAIServer(lambda asked: "I know it by heart.") as server:
        demo = run("demo", "--model", MODEL, home=tmp_path, env=server.env)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert f"{MODEL} chose to call no function this time" in demo.stdout


def test_a_run_that_fails_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    refusal = Failure(401, "Incorrect API key provided.", code="invalid_api_key")
    with OpenAIServer(lambda asked: refusal) as server:
        demo = run("demo", "--model", MODEL, home=tmp_path, env=server.env)
    assert demo.returncode == 1
    assert "What did not hold:" in demo.stdout
    assert re.search(r"run_\w+ .*failed", demo.stdout)
    assert "Incorrect API key provided." in demo.stdout
    assert "Traceback" not in demo.stdout + demo.stderr


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (MODEL, "OPENAI_API_KEY"),
        ("ibm:granite", "pip install langchain-ibm"),
        ("granite", "--model openai:MODEL"),
    ],
)
def test_a_model_out_of_reach_is_said_with_what_to_do(
    tmp_path: Path, model: str, advice: str
) -> None:
    demo = run("demo", "--model", model, home=tmp_path)
    assert demo.returncode == 1
    assert demo.stderr.startswith(f"error: The model {model} cannot be used: ")
    assert advice in demo.stderr
    assert demo.stdout == ""
    assert list(tmp_path.rglob("*.db")) == []


def test_a_database_that_is_no_file_is_refused(tmp_path: Path) -> None:
    demo = run("demo", "--database", "postgresql://host/db", home=tmp_path)
    assert demo.returncode == 1
    assert demo.stderr.startswith("error: ")
    assert "--database" in demo.stderr


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, not a database. " * 200)
    demo = run("demo", "--database", str(file), home=tmp_path)
    assert demo.returncode == 1
    assert str(file) in demo.stdout.replace("\n", "")
    assert "Traceback" not in demo.stderr


def test_ctrl_c_ends_the_demo_with_130(tmp_path: Path) -> None:
    with start("demo", home=tmp_path) as demo:
        assert demo.stdout is not None
        assert any("you " in line for line in demo.stdout)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE) == 130


def test_the_eight_lines_work_as_they_are_printed(tmp_path: Path) -> None:
    assert len(EIGHT_LINES.splitlines()) == 8
    with OpenAIServer(tutor) as server:
        results = [
            run(
                command=(sys.executable, "-c", EIGHT_LINES),
                home=tmp_path,
                env=server.env,
            )
            for _ in range(2)
        ]
    for result in results:
        assert result.returncode == 0, result.stderr
        assert result.stdout == "The tools say: 16.6334\n"
    (file,) = tmp_path.rglob("tutor.db")
    assert len(texts(file)) == 4
