"""One frozen object of settings: from keyword arguments, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ENV_PREFIX = "LANGCHAIN_ASSISTANTS_"

OnActiveRun = Literal["reject", "queue", "cancel"]
History = Literal["full", "messages"]
ToolErrors = Literal["model", "fail"]


class Settings(BaseModel):
    """Settings of an engine; each may come from `LANGCHAIN_ASSISTANTS_<NAME>`.

    Times are seconds.

    Example:
        >>> Settings(history_messages=20).history_messages
        20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str | None = None
    """Where the default engine keeps its data; None: in the user's data folder."""
    synchronous: Literal["OFF", "NORMAL", "FULL", "EXTRA"] = "NORMAL"
    """SQLite's durability against power cuts; a killed process never loses a commit."""
    busy_timeout: float = Field(default=5.0, ge=0)
    """How long to wait for another process that holds the SQLite file."""
    max_concurrent_runs: int = Field(default=200, ge=1)
    """Background runs executed at once; the others wait as `queued`."""
    history_messages: int = Field(default=100, ge=1)
    """Newest messages of a thread that a run shows to the model."""
    max_messages_per_thread: int | None = None
    """None: no limit. The original's was 100,000."""
    expires_after: float = Field(default=600.0, gt=0, le=2_592_000)
    """Deadline of a run from its creation; submitting outputs starts it again."""
    on_active_run: OnActiveRun = "reject"
    history: History = "full"
    tool_errors: ToolErrors = "model"
    tool_timeout: float | None = Field(default=None, gt=0)
    """How long a tool may take; None: up to the run's deadline. A tool's own `metadata`
    may say otherwise: `{"timeout": 30}`."""
    max_tool_output: int = Field(default=1_000_000, ge=1)
    """Characters that a tool may return; the model sees an error in place of more."""
    model_retries: int = Field(default=3, ge=0)
    """Further attempts after a transient provider error; Retry-After is honoured."""
    retry_delay: float = Field(default=0.5, ge=0)
    """The first back-off; it doubles from attempt to attempt."""
    max_retry_delay: float = Field(default=60.0, ge=0)
    """The longest wait for a provider; a longer Retry-After fails the run at once."""
    lease: float = Field(default=15.0, gt=0)
    """How long a run belongs to its worker without a sign of life."""
    cancel_grace: float = Field(default=1.0, ge=0)
    """How long a cancelled run may tidy up before it is abandoned."""
    keep_checkpoints: bool = False
    """Keep every checkpoint of every run instead of none after its end."""
    max_file_bytes: int = Field(default=512 * 2**20, ge=0)
    """Bytes that an uploaded file may have; one that arrives in parts up to 8 GB."""
    interpreter_timeout: float = Field(default=120.0, gt=0)
    """Seconds that one execution of the code interpreter may take."""
    interpreter_idle: float = Field(default=1200.0, gt=0)
    """A thread's interpreter session is closed when it was not used for so long."""
    interpreter_lifetime: float = Field(default=3600.0, gt=0)
    """The longest that a session lives; the next execution begins another."""
    max_interpreters: int = Field(default=8, ge=1)
    """Sessions that live at once; the one not used for longest makes room."""
    thread_ttl: float | None = Field(default=None, gt=0)
    """Delete threads so long after their newest message or run; None: never."""

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        environment = {
            name: os.environ[variable]
            for name in cls.model_fields
            if (variable := ENV_PREFIX + name.upper()) in os.environ
        }
        return {**environment, **given}

    def resolved_database_url(self) -> str:
        """Return the URL of the default engine's database."""
        if self.database_url:
            return self.database_url
        from platformdirs import user_data_path

        folder: Path = user_data_path("langchain-assistants")
        return f"sqlite:///{folder / 'assistants.db'}"
