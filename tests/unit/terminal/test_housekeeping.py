"""The commands `doctor` and `backup`: what they print, and their exit codes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import EngineFactory
from tests.conversations import texts, thread_with
from tests.stored import path_of

from langchain_assistants import AssistantsEngine
from langchain_assistants.cli import main


@pytest.fixture
def file(engine_factory: EngineFactory) -> Path:
    """A healthy file that an engine has open."""
    engine = engine_factory()
    thread_with(engine, "Hi")
    return Path(path_of(engine))


def harm(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE messages SET thread_id = 'thread_lost'")


def test_a_healthy_database_is_exit_code_0(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--database", str(file)]) == 0
    shown = capsys.readouterr().out
    assert str(file) in shown.replace("\n", "").replace(" ", "")
    assert "No problem was found." in shown
    assert "\x1b" not in shown


def test_a_problem_is_exit_code_1_until_it_is_mended(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(file)
    url = f"sqlite:///{file}"
    assert main(["doctor", "--database", url]) == 1
    shown = capsys.readouterr().out
    assert "thread_lost" in shown
    assert "doctor --repair" in shown
    assert "Problems found: 1." in shown
    assert main(["doctor", "--database", url, "--repair"]) == 0
    assert "mended" in capsys.readouterr().out
    assert main(["doctor", "--database", url]) == 0


def test_findings_are_printed_as_json(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(file)
    assert main(["doctor", "--database", str(file), "--json"]) == 1
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["database"] == str(file)
    assert diagnosis["healthy"] is False
    [problem] = [f for f in diagnosis["findings"] if f["level"] == "problem"]
    assert problem["subject"] == "rows"
    assert problem["ids"] == ["thread_lost"]


def test_the_default_database_is_that_of_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 0
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["database"].startswith(str(tmp_path / "data"))
    assert not Path(diagnosis["database"]).exists()


def test_a_backup_says_where_it_is_and_replaces_only_when_asked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    command = ["backup", str(copy), "--database", str(file)]
    assert main(command) == 0
    assert str(copy) in capsys.readouterr().out
    assert main(command) == 1
    assert "is there already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    with AssistantsEngine(f"sqlite:///{copy}") as engine:
        [thread] = engine.threads.list()
        assert texts(engine, thread.id) == ["Hi"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["doctor", "--database", "sqlite://"], "in memory"),
        (["doctor", "--database", "mysql://host/db"], "'mysql' is not supported"),
        (["backup", "copy.db", "--database", "sqlite:///:memory:"], "in memory"),
        (["backup", "copy.db", "--database", "none.db"], "There is no database"),
    ],
)
def test_a_database_that_cannot_be_looked_at_is_told(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == []
