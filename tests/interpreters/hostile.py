"""A program that attacks its own sessions and says what came of it, as JSON.

`python -m tests.interpreters.hostile JAIL [ATTACK]...`; the tests run it as root and
as another user.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

from tests.interpreters.hiding import ATTACKS
from tests.interpreters.probes import PRELUDE, PROBES
from tests.interpreters.scene import HELD, Scene, scene_of

from langchain_assistants.interpreters.base import ExecutionResult

OPEN_FILES = 250
"""What this machine lets a process have: fewer than a session asks for."""
AT_ONCE = 8
"""Attacks that run at the same time: most of them wait for their end."""


async def probe(scene: Scene) -> dict[str, str]:
    """Try everything that has to be refused at once, in one session."""
    other = scene.large.session()
    await other.upload("private", b"mine")
    session = scene.large.session()
    await session.start()
    before = [_state(scene.secret), _state(Path(os.__file__))]
    outcomes = {}
    prelude = f"{PRELUDE}\nH = {scene.facts(other)!r}"
    assert (await session.run(prelude, timeout=30)).error is None
    for name, code in PROBES.items():
        result = await session.run(f"done.clear()\n{code}\ndone", timeout=30)
        outcomes[name] = _outcome(result)
    if visitors := scene.visitors():
        outcomes["there_is_no_network"] += f" reached: {visitors}"
    if before != [_state(scene.secret), _state(Path(os.__file__))]:
        outcomes["modes_and_times_of_host_files_stay"] = "changed"
    await session.close()
    await other.close()
    return outcomes


def _outcome(result: ExecutionResult) -> str:
    if result.error is not None:
        return result.error.traceback or result.error.message
    shown = [value.forms["text/plain"] for value in result.displayed]
    return HELD if shown == ["[]"] else f"{shown} {result.stopped}"


def _state(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_mtime_ns, path.read_bytes()


async def main(jail: str, only: list[str]) -> dict[str, str]:
    with scene_of(jail) as scene:
        async with scene.large, scene.small:
            outcomes = {} if only else await probe(scene)
            some = asyncio.Semaphore(AT_ONCE)

            async def act(name: str) -> None:
                async with some:
                    begun = time.monotonic()
                    try:
                        outcomes[name] = await ATTACKS[name](scene)
                    except Exception as error:
                        outcomes[name] = f"{type(error).__name__}: {error}"
                    print(f"{name}: {time.monotonic() - begun:.2f} s", file=sys.stderr)

            await asyncio.gather(*map(act, only or ATTACKS))
    return outcomes


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2:]))))
