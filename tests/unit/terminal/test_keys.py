"""The commands keys and export on databases that are there, and that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_assistants import cli


@pytest.mark.parametrize(
    "arguments", [["export"], ["keys", "list"], ["keys", "revoke", "key_1"]], ids=str
)
def test_a_command_that_reads_makes_no_database(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "typo.db"
    assert cli.main([*arguments, "--database", str(path)]) == 1
    assert f"There is no database {path}." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_narrow_list_of_keys_shows_whole_ids(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    database = ["--database", str(tmp_path / "app.db")]
    name = "of somebody with a name that is long"
    assert cli.main(["keys", "create", "--name", name, *database]) == 0
    key_id = capsys.readouterr().err.split()[0]
    assert cli.main(["keys", "list", *database]) == 0
    assert key_id in capsys.readouterr().out
    assert cli.main(["keys", "revoke", key_id, *database]) == 0
