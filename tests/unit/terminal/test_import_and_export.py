"""The commands import and export: what they print, write, and end with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.importers import saved_data as data

from langchain_assistants import AssistantsEngine, cli


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


@pytest.fixture
def saved(tmp_path: Path) -> str:
    return str(data.save(tmp_path / "saved", threads=2))


def test_import_shows_what_became_of_everything(
    database: str, saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lone = data.message(7, 0, "user", data.text("Hi."))
    data.write(Path(saved, "lone.json"), lone)
    report = tmp_path / "report.jsonl"
    arguments = ["import", saved, "--database", database, "--report", str(report)]
    arguments += ["--model-map", "gpt-4o=openai:gpt-5"]
    assert cli.main([*arguments, "--dry-run"]) == 1
    assert "nothing was stored" in capsys.readouterr().out
    assert cli.main(arguments) == 1
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line}
    assert rows["thread"] == ["2"]
    assert rows["thread.message"] == ["4", "1"]
    assert rows["assistant"] == ["1", "1"]
    why = f"there is no thread {data.thread_id(7)}"
    assert f"refused lone.json:1 thread.message {lone['id']}: {why}" in shown
    assert len(report.read_text().splitlines()) == 2
    Path(saved, "lone.json").unlink()
    assert cli.main(["import", saved, "--database", database]) == 1
    shown = capsys.readouterr().out
    assert "with other content (model)" in shown  # it was mapped before


def test_many_issues_are_cut(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = [data.message(0, n, "user", data.text("Hi.")) for n in range(25)]
    path = data.write(tmp_path / "lost.json", lost)
    assert cli.main(["import", str(path), "--database", database]) == 1
    assert "... and 5 more; --report FILE writes them all." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["import"], "import needs either the PATH"),
        (["import", "x", "--from-openai"], "import needs either the PATH"),
        (["import", "no-such-place"], "There is no file and no folder no-such-place"),
        (["import", "x", "--model-map", "gpt-4o"], "--model-map gpt-4o is no pair"),
        (["export", "--thread", "thread_none"], "No thread found"),
        (["export", "--format", "langchain", "--output", "place"], "place is no file"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], told: str, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    AssistantsEngine(f"sqlite:///{database}").close()
    assert cli.main([*arguments, "--database", database]) == 1
    assert told in " ".join(capsys.readouterr().err.split())


def test_export_writes_a_folder_a_file_or_a_stream(
    database: str, saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["import", saved, "--database", database]) == 0
    capsys.readouterr()
    export = ["export", "--database", database]
    out = tmp_path / "out"
    assert cli.main([*export, "--output", str(out)]) == 0
    assert (out / "files" / data.CHART).read_bytes() == data.PNG
    assert "4 messages" in capsys.readouterr().err
    file = tmp_path / "all.jsonl"
    assert cli.main([*export, "--all", "--output", str(file)]) == 0
    assert "The contents of files are not in it" in capsys.readouterr().err
    kinds = [json.loads(line)["object"] for line in file.read_text().splitlines()]
    assert kinds.count("thread.message") == 4
    one = [*export, "--thread", data.thread_id(1), "--format", "openai-messages"]
    assert cli.main(one) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["thread_id"] == data.thread_id(1)


def test_an_exported_file_is_imported_again(
    database: str, saved: str, tmp_path: Path
) -> None:
    assert cli.main(["import", saved, "--database", database]) == 0
    out, other = str(tmp_path / "out"), str(tmp_path / "other.db")
    assert cli.main(["export", "--database", database, "--output", out]) == 0
    assert cli.main(["import", out, "--database", other, "--tenant", "acme"]) == 0
    with AssistantsEngine(f"sqlite:///{other}", recover=False) as engine:
        assert len(list(engine.for_tenant("acme").threads.list())) == 2
