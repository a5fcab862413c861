"""A warm program has and shows what the same program has when Python starts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import warm

PROBE = """
import atexit, json, os, sys, threading
atexit.register(print, "at exit")
said = sys.stdin.read()
here = sys.path[0]
own = [name for name in os.listdir("/proc/self/fd") if int(name) < 3]
print(json.dumps({
    "said": said, "name": __name__, "arguments": sys.argv, "path": here,
    "main": "said" in vars(sys.modules["__main__"]),
    "folder": os.getcwd(), "mine": os.environ.get("MINE"), "home": os.environ["HOME"],
    "threads": [t.name for t in threading.enumerate()], "open": own,
    "streams": [(s.isatty(), s.encoding, s.errors) for s in
                (sys.stdin, sys.stdout, sys.stderr)],
}))
print("to the other", file=sys.stderr)
threading.Thread(target=lambda: print("of a thread")).start()
sys.exit(7)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [["probe.py", "a"], ["-m", "probe", "a"], ["-c", PROBE, "a"], ["-c", "1 / 0"]],
    ids=["file", "module", "code", "error"],
)
def test_a_warm_program_is_like_a_cold_one(home: Path, program: list[str]) -> None:
    environment = {**os.environ, "MINE": "ä", "HOME": str(home)}
    command = [sys.executable, *program]
    cold = subprocess.run(
        command, input="Hi", env=environment, cwd=home, capture_output=True, text=True
    )
    given = {"typed": "Hi", "env": environment, "cwd": home, "timeout": 60}
    done = warm.run(command, **given)
    assert (done.returncode, done.stdout) == (cold.returncode, cold.stdout)
    assert done.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_it_is_a_process_that_can_be_killed_and_leaves_nothing(home: Path) -> None:
    waiting = "import os; print(os.getpid(), flush=True); input()"
    with warm.Popen(
        [sys.executable, "-c", waiting],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid != os.getpid()
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        process.kill()
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_what_it_forks_from_has_one_thread_and_nothing_open() -> None:
    looking = (
        "import os\n"
        "print(len(os.listdir('/proc/self/task')), os.listdir('/proc/self/fd'))"
    )
    done = warm.run([sys.executable, "-c", looking], timeout=60)
    # The fourth is that which looks.
    assert done.stdout == "1 ['0', '1', '2', '3']\n", done.stderr


def test_its_programs_end_with_the_tests() -> None:
    tests = (
        "import subprocess, sys\n"
        "from tests import warm\n"
        "warm.IMPORTED = ()\n"
        "program = 'import signal; signal.pause()'\n"
        "sleeper = warm.Popen([sys.executable, '-c', program])\n"
        "print(sleeper.pid, flush=True)\n"
        "sleeper.returncode = 0\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", tests],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(done.stdout), 0)
        raise AssertionError("it lives")
