"""Attacks on the local interpreter, in each jail, as root and as another user."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from tests.interpreters.havoc import ATTACKS
from tests.interpreters.probes import PRELUDE, PROBES
from tests.interpreters.scene import HELD
from tests.interpreters.staging import ROOT, USERS, command


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
def test_every_attack_fails(jail: str, user: str, subtests: pytest.Subtests) -> None:
    done = subprocess.run(
        command(user, "tests.interpreters.hostile", jail),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert set(outcomes) == {*PROBES, *ATTACKS}
    for attack, outcome in outcomes.items():
        with subtests.test(attack):
            assert outcome == HELD, done.stderr


@pytest.mark.parametrize(
    "probe", ["files_of_the_host_are_not_read", "sockets_of_the_host_are_out_of_reach"]
)
def test_without_a_jail_a_probe_finds_a_way(
    probe: str, tmp_path: os.PathLike[str]
) -> None:
    facts = dict.fromkeys(["secret", "project", "ssh", "unix_datagram"], __file__)
    folders = dict.fromkeys(["folder", "home"], str(tmp_path))
    names = dict.fromkeys(["unix", "abstract", "abstract_datagram"], "/none")
    scene = {**facts, **folders, **names, "jail": "none"}
    names_of_all: dict[str, object] = {"H": scene}
    exec(PRELUDE + PROBES[probe] + "\nsocket.socket().close()", names_of_all)
    if probe == "files_of_the_host_are_not_read":
        assert str(tmp_path) in names_of_all["done"]  # type: ignore[operator]
