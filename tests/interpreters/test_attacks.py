"""Attacks on the local interpreter, in each jail, as root and as another user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.interpreters.hiding import ATTACKS
from tests.interpreters.probes import PRELUDE, PROBES
from tests.interpreters.scene import HELD
from tests.interpreters.staging import ROOT, USERS, command

HIDDEN_FILES = [
    "files_without_a_name",
    "mapped_files_without_a_name",
    "files_of_a_thread_whose_leader_is_dead",
    "files_in_descriptors_of_one_thread",
]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
def test_every_attack_fails(jail: str, user: str, subtests: pytest.Subtests) -> None:
    outcomes, told = attacked(user, jail)
    assert set(outcomes) == {*PROBES, *ATTACKS}
    for attack, outcome in outcomes.items():
        with subtests.test(attack):
            assert outcome == HELD, told


def test_the_root_of_a_container_sees_files_that_have_no_name() -> None:
    outcomes, told = attacked("container", "landlock", *HIDDEN_FILES)
    assert outcomes == dict.fromkeys(HIDDEN_FILES, HELD), told


def attacked(user: str, jail: str, *attacks: str) -> tuple[dict[str, str], str]:
    """Run attacks, or all; return what came of each, and how long it took."""
    done = subprocess.run(
        command(user, "tests.interpreters.hostile", jail, *attacks),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_without_a_jail_a_probe_finds_its_way(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    facts = {
        **dict.fromkeys(["secret", "project", "ssh"], str(secret)),
        **dict.fromkeys(["folder", "home"], str(tmp_path)),
        "jail": "none",
    }
    probe = PROBES["files_of_the_host_are_not_read"]
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}\nH = {facts!r}\n{probe}\nprint(done)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {str(secret), str(tmp_path), "/etc/passwd"} <= set(eval(done.stdout))
