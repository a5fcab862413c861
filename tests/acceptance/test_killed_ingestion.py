"""A process that is killed while it indexes: no half file, and the next goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests import warm
from tests.acceptance.program import PATIENCE, environment
from tests.stored import rows

from langchain_assistants import AssistantsEngine, Settings

# The third file stops in the middle of its transaction, half of it written.
PROGRAM = """
import sys, threading
from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.retrieval import index

put, files = index.put, []

def halting(store_id, file_id, chunks, **options):
    files.append(file_id)
    if len(files) == 3:
        yield from put(store_id, file_id, chunks[: len(chunks) // 2], **options)
        print("reached", flush=True)
        threading.Event().wait()
    yield from put(store_id, file_id, chunks, **options)

index.put = halting
engine = AssistantsEngine(sys.argv[1], settings=Settings(lease=0.2))
ids = [
    engine.files.create(file=(f"{n}.txt", f"text {n} ".encode() * 3000),
                        purpose="assistants").id
    for n in range(5)
]
engine.vector_stores.create(file_ids=ids)
threading.Event().wait()
"""


def test_a_kill_in_the_middle_of_indexing_leaves_no_half_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    process = warm.Popen(
        [sys.executable, "-c", PROGRAM, url],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    with AssistantsEngine(url, recover=False) as engine:
        whole = rows(engine, "SELECT file_id, count(*) AS n FROM chunks GROUP BY 1")
        left = rows(
            engine, "SELECT file_id FROM vector_store_files WHERE status != 'completed'"
        )
        assert len(whole) == 2
        assert len(left) == 3
        assert {row["file_id"] for row in whole}.isdisjoint(
            row["file_id"] for row in left
        )
    with AssistantsEngine(url, settings=Settings(lease=0.2)) as engine:
        [store] = engine.vector_stores.list()
        counts = engine.vector_stores.wait(store.id, timeout=PATIENCE).file_counts
        assert counts.completed == 5
        sizes = rows(engine, "SELECT count(*) AS n FROM chunks GROUP BY file_id")
        assert {row["n"] for row in sizes} == {whole[0]["n"]}
        assert len(sizes) == 5
