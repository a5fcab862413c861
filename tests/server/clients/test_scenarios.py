"""OpenAI's clients play whole scenarios, each version in an environment of its own.

`make test-clients` makes the environments under `.clients`. The newest Python client is
in ours, and is played with there too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from tests.conftest import EngineFactory
from tests.server.clients.model import model
from tests.server.conftest import Servers

FOLDER = Path(__file__).parent
CLIENTS = FOLDER.parents[2] / ".clients"
TIMEOUT = 120

SCENARIOS = [
    "objects",
    "polling",
    "streaming",
    "parallel_tools",
    "streamed_tools",
    "cancelling",
    "paging",
    "files",
    "refusals",
]

SCENARIOS_OF_V1 = [
    "assistant_files",
    "files_before_tools",
    "message_files",
    "a_run",
    "a_stream",
]


@pytest.fixture
def address(engine_factory: EngineFactory, servers: Servers) -> str:
    """The address of a served engine, as a client takes it."""
    return f"{servers.serve(engine_factory(model()))}/v1"


def played(*program: str, address: str) -> list[str]:
    """Run a program of scenarios and return what it printed, line by line."""
    assert Path(program[0]).exists(), f"make test-clients makes {program[0]}"
    done = subprocess.run(
        [*program, address],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_client_of_our_own_environment_plays_every_scenario(address: str) -> None:
    version, *names = played(
        sys.executable, str(FOLDER / "scenarios.py"), address=address
    )
    assert version == openai.__version__
    assert names == [*SCENARIOS, "asynchronous"]


@pytest.mark.clients
@pytest.mark.parametrize("major", ["1", "2", "3"], ids=lambda major: f"openai-{major}")
def test_a_python_client_plays_every_scenario(major: str, address: str) -> None:
    python = CLIENTS / f"openai-{major}" / "bin" / "python"
    version, *names = played(str(python), str(FOLDER / "scenarios.py"), address=address)
    assert version.startswith(f"{major}.")
    assert names == [*SCENARIOS, "asynchronous"]


@pytest.mark.clients
@pytest.mark.parametrize("client", ["openai-v1"])
def test_the_client_of_the_first_api_plays_its_scenarios(
    client: str, address: str
) -> None:
    python = CLIENTS / client / "bin" / "python"
    played_by, *names = played(
        str(python), str(FOLDER / "scenarios_v1.py"), address=address
    )
    assert played_by == "1.20.0"
    assert names == SCENARIOS_OF_V1


@pytest.mark.clients
@pytest.mark.parametrize("package", ["npm"])
def test_the_client_for_javascript_plays_every_scenario(
    package: str, address: str, tmp_path: Path
) -> None:
    folder = CLIENTS / package
    # Node.js looks for packages beside the program.
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    program = shutil.copy(FOLDER / "scenarios.mjs", tmp_path)
    version, *names = played(str((folder / "node").resolve()), program, address=address)
    assert version.partition(".")[0].isdecimal()
    assert names == SCENARIOS
