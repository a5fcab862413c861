"""Two users on one thread: the second is refused, waits, or takes over."""

from __future__ import annotations

import threading
from typing import Any

from model_option import open_engine

from langchain_assistants.errors import ActiveRunError
from langchain_assistants.testing import Reply, call


def main() -> None:
    """Start runs on a thread that another run holds."""
    slow = threading.Event()
    script: list[Any] = [
        Reply("The first answer.", wait_for=slow),
        "The second answer.",
        Reply(tool_calls=[call("ask_a_colleague", {"question": "What now?"})]),
        "The last word.",
    ]
    engine, model, scripted = open_engine(__doc__ or "", script)
    with engine:
        assistant = engine.assistants.create(model=model, instructions="Be brief.")
        colleague = engine.assistants.create(
            model=model,
            instructions="Always ask a colleague first.",
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "ask_a_colleague",
                        "parameters": {
                            "type": "object",
                            "properties": {"question": {"type": "string"}},
                        },
                    },
                }
            ],
        )
        thread = engine.threads.create(
            messages=[{"role": "user", "content": "One thing, please."}]
        )
        first = engine.runs.create(thread.id, assistant_id=assistant.id)
        try:
            engine.runs.create(thread.id, assistant_id=assistant.id)
        except ActiveRunError as error:
            print("refused: ", error)
        waiting = engine.runs.create(
            thread.id,
            assistant_id=assistant.id,
            additional_messages=[{"role": "user", "content": "Another thing."}],
            on_active_run="queue",
        )
        print("queued:  ", waiting.id)
        slow.set()
        assert engine.runs.wait(first.id).status == "completed"
        assert engine.runs.wait(waiting.id).status == "completed"
        abandoned = engine.runs.create(thread.id, assistant_id=colleague.id)
        left = engine.runs.wait(abandoned.id).status
        last = engine.runs.create(
            thread.id, assistant_id=assistant.id, on_active_run="cancel"
        )
        ended = engine.runs.wait(abandoned.id).status
        assert engine.runs.wait(last.id).status == "completed"
        print("replaced:", abandoned.id, ended, "by", last.id)
        for message in engine.messages.list(thread.id, order="asc"):
            print(f"{message.role:>10}: {message.text}")
        if scripted:
            assert (left, ended) == ("requires_action", "cancelled")


if __name__ == "__main__":
    main()
