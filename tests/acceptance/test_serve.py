"""The commands `serve` and `keys` in real processes, with a real client."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AuthenticationError, OpenAI
from tests import warm
from tests.acceptance.program import COMMAND, PATIENCE, environment, run
from tests.openai_server import OpenAIServer, tutor

TOOLS = '''
def light_minutes(distance_au: float) -> float:
    """Return the minutes light needs for a distance in astronomical units."""
    return round(distance_au * 8.3167, 1)

def year_length(distance_au: float) -> float:
    """Return the years of an orbit at a distance in astronomical units."""
    return round(distance_au**1.5, 1)

TOOLS = [light_minutes, year_length]
'''


class Served:
    """A process of `serve`."""

    def __init__(self, home: Path, env: dict[str, str], *options: str) -> None:
        self.process = warm.Popen(
            [*COMMAND, "serve", "--port", "0", *options],
            env=environment(home, env),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        told = re.search(r"http://\S+/v1", self.process.stdout.readline())
        assert told is not None, self.process.communicate(timeout=PATIENCE)
        self.url = told[0]

    def end(self) -> tuple[int, list[dict[str, object]]]:
        """Tell the process to stop; return its exit code and its log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@pytest.fixture
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer(tutor) as server:
        yield server


def test_serve_answers_openais_client_with_the_tools_of_the_server(
    upstream: OpenAIServer, tmp_path: Path
) -> None:
    (tmp_path / "sky.py").write_text(TOOLS)
    served = Served(
        tmp_path,
        upstream.env,
        *("--database-url", f"sqlite:///{tmp_path / 'served.db'}"),
        *("--tools", "sky:TOOLS", "--model-map", "gpt-4=openai:gpt-4o"),
    )
    try:
        with OpenAI(api_key="any", base_url=served.url) as client:
            assistant = client.beta.assistants.create(model="gpt-4")
            run = client.beta.threads.create_and_run_poll(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": "Hello"}]},
            )
            assert run.status == "completed", run.last_error
    finally:
        code, log = served.end()
    assert code == 0
    assert {line["event"] for line in log} == {"request_finished"}
    assert (tmp_path / "served.db").exists()


def test_keys_are_made_listed_and_revoked_while_a_server_runs(tmp_path: Path) -> None:
    database = ("--database", str(tmp_path / "served.db"))
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", *database, home=tmp_path)
    assert refused.returncode == 1
    assert "langchain-assistants keys create" in refused.stderr
    made = run(
        *("keys", "create", "--tenant", "acme", "--name", "CI", *database),
        home=tmp_path,
    )
    key = made.stdout.strip()
    assert re.fullmatch(r"sk-lca-[\w-]{43}", key)
    assert key not in made.stderr
    served = Served(tmp_path, {}, "--host", "0.0.0.0", *database)
    try:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        with OpenAI(api_key=key, base_url=url, max_retries=0) as client:
            client.beta.threads.create()
            listed = run("keys", "list", *database, home=tmp_path).stdout
            assert key not in listed
            assert "acme" in listed
            found = re.search(r"key_\w+", listed)
            assert found is not None
            revoked = run("keys", "revoke", found[0], *database, home=tmp_path)
            assert revoked.returncode == 0
            with pytest.raises(AuthenticationError):
                client.beta.threads.create()
    finally:
        code, _ = served.end()
    assert code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model-map", "gpt-4"], "write NAME=OTHER"),
        (["--tools", "no_such_module:TOOLS"], "no_such_module"),
        (["--host", "no.such.host.test"], "there is no API key"),
    ],
)
def test_options_that_cannot_be_used_are_explained(
    tmp_path: Path, options: list[str], told: str
) -> None:
    done = run("serve", "--port", "0", *options, home=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
