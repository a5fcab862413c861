"""The default engine: one per process, on a file in the user's data folder."""

from __future__ import annotations

import logging
import threading

from langchain_assistants.engine.engine import AssistantsEngine

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_engine: AssistantsEngine | None = None


def default_engine() -> AssistantsEngine:
    """Return the engine of those who name none; opened with the first use.

    So that a thread can be continued after a notebook's kernel restarts, it keeps its
    data; `LANGCHAIN_ASSISTANTS_DATABASE_URL` says elsewhere where. It never executes
    another process's run.
    """
    global _engine
    with _lock:
        if _engine is None or _engine.closed:
            _engine = AssistantsEngine(recover=False)
            logger.info("default_engine_opened", extra={"url": _engine.url})
        return _engine
