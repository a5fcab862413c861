"""A folder as a person would have saved it in July 2026, before the API died.

Made with OpenAI's client: pages as they were listed, the newest first, with pictures
and the files that tools wrote beside them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BEGUN = 1_750_000_000
THREADS = 10
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
CSV = b"month,sales\nJune,12\n"
ASSISTANT = "asst_Xq2Vb8kQ0sT4uW6yA1cE3gI5"
CHART = "file-Ch4rtCh4rtCh4rtCh4rt00"
SALES = "file-S4lesS4lesS4lesS4les00"
MANUAL = "file-M4nualM4nualM4nualM400"
STORE = "vs_6a1b2c3d4e5f60718293a4b5"


def thread_id(number: int) -> str:
    """Return the id of a thread."""
    return f"thread_{number:024d}"


def page(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a list as the API gave it: the newest first."""
    data = list(items)[::-1]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": False,
    }


def assistant(**fields: Any) -> dict[str, Any]:
    """Return an assistant with every tool."""
    return {
        "id": ASSISTANT,
        "object": "assistant",
        "created_at": BEGUN - 1_000,
        "name": "Analyst",
        "description": None,
        "model": "gpt-4o",
        "instructions": "You know about sales.",
        "tools": [
            {"type": "code_interpreter"},
            {"type": "file_search", "file_search": {"max_num_results": 5}},
            {
                "type": "function",
                "function": {
                    "name": "look_up",
                    "description": "Look up an order.",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": False,
                },
            },
        ],
        "top_p": 1.0,
        "temperature": 1.0,
        "reasoning_effort": None,
        "tool_resources": {
            "file_search": {"vector_store_ids": [STORE]},
            "code_interpreter": {"file_ids": [SALES]},
        },
        "metadata": {"team": "north"},
        "response_format": "auto",
        **fields,
    }


def thread(number: int, **fields: Any) -> dict[str, Any]:
    """Return a thread."""
    return {
        "id": thread_id(number),
        "object": "thread",
        "created_at": BEGUN + number * 100,
        "metadata": {"user": f"user-{number}"},
        "tool_resources": {"code_interpreter": {"file_ids": []}},
        **fields,
    }


def text(value: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    """Return a part with text."""
    return {"type": "text", "text": {"value": value, "annotations": [*annotations]}}


def message(
    number: int, place: int, role: str, *parts: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """Return a message: of a thread, at a place."""
    return {
        "id": f"msg_{number:012d}{place:012d}",
        "object": "thread.message",
        "created_at": BEGUN + number * 100 + place,
        "assistant_id": ASSISTANT if role == "assistant" else None,
        "thread_id": thread_id(number),
        "run_id": None,
        "role": role,
        "content": list(parts),
        "attachments": [],
        "metadata": {},
        **fields,
    }


def run(number: int, place: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a run that was completed."""
    at = BEGUN + number * 100 + place
    return {
        "id": f"run_{number:012d}{place:012d}",
        "object": "thread.run",
        "created_at": at,
        "assistant_id": ASSISTANT,
        "thread_id": thread_id(number),
        "status": "completed",
        "started_at": at,
        "expires_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": at + 3,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o",
        "instructions": "You know about sales.",
        "tools": assistant()["tools"],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "reasoning_effort": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": {
            "prompt_tokens": 120,
            "completion_tokens": 30,
            "total_tokens": 150,
            "prompt_token_details": {"cached_tokens": 0},
        },
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        **fields,
    }


def step(run: dict[str, Any], place: int, details: dict[str, Any]) -> dict[str, Any]:
    """Return a step of a run."""
    return {
        "id": f"step_{run['id'].removeprefix('run_')}{place:04d}",
        "object": "thread.run.step",
        "created_at": run["created_at"] + place,
        "run_id": run["id"],
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "type": details["type"],
        "status": "completed",
        "cancelled_at": None,
        "completed_at": run["created_at"] + place,
        "expires_at": None,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": {"prompt_tokens": 60, "completion_tokens": 15, "total_tokens": 75},
    }


def calls(*tool_calls: dict[str, Any]) -> dict[str, Any]:
    """Return the details of a step that called tools."""
    return {"type": "tool_calls", "tool_calls": list(tool_calls)}


def wrote(message: dict[str, Any]) -> dict[str, Any]:
    """Return the details of a step that wrote a message."""
    return {
        "type": "message_creation",
        "message_creation": {"message_id": message["id"]},
    }


def file(file_id: str, filename: str, content: bytes, purpose: str) -> dict[str, Any]:
    """Return a file."""
    return {
        "object": "file",
        "id": file_id,
        "purpose": purpose,
        "filename": filename,
        "bytes": len(content),
        "created_at": BEGUN - 500,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }


def conversation(number: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Return messages, runs and steps of a thread: a question with a picture."""
    the_run = run(number)
    asked = message(
        number,
        0,
        "user",
        text(f"What is in picture {number}?"),
        {"type": "image_file", "image_file": {"file_id": CHART, "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        attachments=[{"file_id": SALES, "tools": [{"type": "code_interpreter"}]}],
    )
    answer = message(
        number,
        4,
        "assistant",
        {"type": "image_file", "image_file": {"file_id": CHART}},
        text(
            "Sales of June: 12【4:0†manual.txt】.",
            {
                "type": "file_citation",
                "text": "【4:0†manual.txt】",
                "start_index": 17,
                "end_index": 33,
                "file_citation": {"file_id": MANUAL},
            },
        ),
        run_id=the_run["id"],
    )
    code = {
        "id": f"call_code_{number}",
        "type": "code_interpreter",
        "code_interpreter": {
            "input": "print(12)",
            "outputs": [
                {"type": "logs", "logs": "12"},
                {"type": "image", "image": {"file_id": CHART}},
            ],
        },
    }
    search = {"id": f"call_search_{number}", "type": "file_search", "file_search": {}}
    look_up = {
        "id": f"call_order_{number}",
        "type": "function",
        "function": {
            "name": "look_up",
            "arguments": json.dumps({"order": number}),
            "output": f"order {number} is paid",
        },
    }
    steps = [
        step(the_run, 1, calls(code, search)),
        step(the_run, 2, calls(look_up)),
        step(the_run, 3, wrote(answer)),
    ]
    return [asked, answer], [the_run], steps


def save(folder: Path, *, threads: int = THREADS) -> Path:
    """Write the folder."""
    write(folder / "assistants.json", page([assistant()]))
    write(folder / "vector_stores.json", page([store()]))
    write(folder / STORE / "files.json", page([store_file()]))
    write(
        folder / "files.json",
        page(
            [
                file(CHART, "chart.png", PNG, "assistants_output"),
                file(SALES, "sales.csv", CSV, "assistants"),
                file(MANUAL, "manual.txt", b"How to sell.", "assistants"),
            ]
        ),
    )
    contents = folder / "files"
    contents.mkdir()
    (contents / f"{CHART}.png").write_bytes(PNG)
    (contents / "sales.csv").write_bytes(CSV)
    (contents / f"{MANUAL}_manual.txt").write_bytes(b"How to sell.")
    for number in range(threads):
        messages, runs, steps = conversation(number)
        place = folder / "threads" / thread_id(number)
        write(place / "thread.json", thread(number))
        write(place / "messages.json", page(messages))
        write(place / "runs.json", page(runs))
        lines = "".join(json.dumps(one) + "\n" for one in steps[::-1])
        (place / "steps.jsonl").write_text(lines, encoding="utf-8")
    return folder


def store() -> dict[str, Any]:
    """Return a vector store."""
    return {
        "id": STORE,
        "object": "vector_store",
        "created_at": BEGUN - 400,
        "name": "Manuals",
        "usage_bytes": 1_000,
        "file_counts": {
            "in_progress": 0,
            "completed": 1,
            "failed": 0,
            "cancelled": 0,
            "total": 1,
        },
        "status": "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": BEGUN,
        "metadata": {},
    }


def store_file() -> dict[str, Any]:
    """Return the file in the vector store."""
    sizes = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
    return {
        "id": MANUAL,
        "object": "vector_store.file",
        "usage_bytes": 1_000,
        "created_at": BEGUN - 300,
        "vector_store_id": STORE,
        "status": "completed",
        "last_error": None,
        "chunking_strategy": {"type": "static", "static": sizes},
        "attributes": {"year": 2026},
    }


def write(path: Path, value: Any) -> Path:
    """Write a value as people do: indented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path
