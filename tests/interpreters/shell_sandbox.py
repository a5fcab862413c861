"""Sandboxes in the shape of deepagents' backends: a shell, a folder, no isolation."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = "/mnt/data"
TIMED_OUT = 124


def start(program: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program; asyncio's own way may hang when it is cancelled meanwhile."""
    return subprocess.Popen(
        program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **options,
    )


async def output_of(process: subprocess.Popen[bytes]) -> str:
    """Await the end of a process; kill it with all it started if nobody waits."""
    reading = asyncio.create_task(asyncio.to_thread(process.communicate))
    try:
        await asyncio.shield(reading)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = await reading
    return output.decode(errors="replace")


@dataclass
class Executed:
    """As deepagents' `ExecuteResponse`."""

    output: str
    exit_code: int | None
    truncated: bool = False


@dataclass
class Transferred:
    """As deepagents' `FileUploadResponse` and `FileDownloadResponse`."""

    path: str
    content: bytes | None = None
    error: str | None = None


@dataclass
class ShellSandbox:
    """One sandbox; commands and code know its folder as `/mnt/data`."""

    id: str
    folder: Path
    ended: bool = False
    awaited: dict[str, asyncio.Event] = field(default_factory=dict)

    def executes(self, part: str) -> asyncio.Event:
        """Return what is set by a command with a part."""
        return self.awaited.setdefault(part, asyncio.Event())

    async def aexecute(self, command: str, *, timeout: int | None = None) -> Executed:
        """Execute a command, or refuse when it has ended."""
        if self.ended:
            raise ConnectionError("the sandbox is gone")
        program = ["sh", "-c", command.replace(HOME, str(self.folder))]
        process = start(program, cwd=self.folder, env={"PATH": os.environ["PATH"]})
        for part, event in self.awaited.items():
            if part in command:
                event.set()
        try:
            async with asyncio.timeout(timeout):
                output = await output_of(process)
        except TimeoutError:
            return Executed("timed out", TIMED_OUT)
        return Executed(output, process.returncode)

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[Transferred]:
        """Write files."""
        written = []
        for path, content in files:
            try:
                file = self._real(path)
                file.parent.mkdir(parents=True, exist_ok=True)
                if path.endswith(".json"):  # the code
                    home = str(self.folder).encode()
                    content = content.replace(HOME.encode(), home)
                file.write_bytes(content)
                written.append(Transferred(path))
            except OSError:
                written.append(Transferred(path, error="invalid_path"))
        return written

    async def adownload_files(self, paths: list[str]) -> list[Transferred]:
        """Read files."""
        read = []
        for path in paths:
            try:
                content = self._real(path).read_bytes()
                seen = content.replace(str(self.folder).encode(), HOME.encode())
                read.append(Transferred(path, seen))
            except OSError:
                read.append(Transferred(path, error="file_not_found"))
        return read

    def _real(self, path: str) -> Path:
        return Path(path.replace(HOME, str(self.folder)))


@dataclass
class Shells:
    """The sandboxes of a test, by id."""

    folder: Path
    sandboxes: dict[str, ShellSandbox] = field(default_factory=dict)

    def open(self, id: str | None) -> ShellSandbox:
        """Find a sandbox, or make one."""
        if id in self.sandboxes:
            return self.sandboxes[id]
        new = f"shell-{len(list(self.folder.iterdir()))}"
        folder = self.folder / new
        folder.mkdir()
        return self.sandboxes.setdefault(new, ShellSandbox(new, folder))

    async def end(self, sandbox: ShellSandbox) -> None:
        """End a sandbox."""
        sandbox.ended = True
        del self.sandboxes[sandbox.id]
