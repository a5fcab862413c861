"""Every exception of the package; it raises none of them itself.

AssistantsError
├── RequestError            .code .param .http_status
│   ├── InvalidRequestError     400
│   │   └── ActiveRunError          .thread_id .run_id
│   ├── AuthenticationError     401
│   ├── HostNotAllowedError     403
│   ├── NotFoundError           404
│   ├── FileTooLargeError       413 .limit
│   ├── BodyTooLargeError       413
│   └── ContentTypeError        415
├── RunError                .run
│   ├── ApprovalRequired
│   ├── RunFailed
│   ├── RunCancelled
│   ├── RunExpired
│   └── RunIncomplete
├── ToolError
├── InterpreterError
├── StorageError
└── ConfigurationError
"""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_assistants.types.runs import Run

__all__ = [
    "ActiveRunError",
    "ApprovalRequired",
    "AssistantsError",
    "AuthenticationError",
    "BodyTooLargeError",
    "ConfigurationError",
    "ContentTypeError",
    "FileTooLargeError",
    "HostNotAllowedError",
    "InterpreterError",
    "InvalidRequestError",
    "NotFoundError",
    "RequestError",
    "RunCancelled",
    "RunError",
    "RunExpired",
    "RunFailed",
    "RunIncomplete",
    "StorageError",
    "ToolError",
    "approval_required",
    "not_available",
    "run_error",
]


class AssistantsError(Exception):
    """Root of every error that this package raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # An exception is rebuilt from its message alone; ours carry more than that.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class RequestError(AssistantsError):
    """Say which part of a request is wrong, in the words of the original API.

    Attributes:
        code: The wire's error code, such as `unknown_parameter`.
        param: The path of the field at fault, such as `tools[0].function.name`.
        http_status: The status a server answers with.
    """

    http_status: ClassVar[int] = 400

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        """Keep the message with the wire's `code` and `param`."""
        super().__init__(message)
        self.code = code
        self.param = param


class InvalidRequestError(RequestError):
    """Refuse a request that breaks a rule; nothing has been changed."""


class ActiveRunError(InvalidRequestError):
    """Refuse a write to a thread while a run is active on it.

    Wait for the run, cancel it, or pass `on_active_run="queue"`.
    """

    def __init__(
        self, thread_id: str, run_id: str, *, adding_messages: bool = False
    ) -> None:
        """Word the refusal of a new run, or that of new messages."""
        super().__init__(
            f"Can't add messages to {thread_id} while a run {run_id} is active."
            if adding_messages
            else f"Thread {thread_id} already has an active run {run_id}."
        )
        self.thread_id = thread_id
        self.run_id = run_id


class AuthenticationError(RequestError):
    """Refuse a missing or an unknown API key."""

    http_status = 401


class NotFoundError(RequestError):
    """Name an object that does not exist for this caller."""

    http_status = 404

    @classmethod
    def for_id(cls, kind: str, id: str) -> NotFoundError:
        """Word the error for an object of a kind, such as `"run step"`.

        Files have a text of their own, as in the original.
        """
        if kind == "file":
            return cls(f"No such File object: {id}", param="id")
        return cls(f"No {kind} found with id '{id}'.")


class FileTooLargeError(RequestError):
    """Refuse a file, or a part of an upload, of too many bytes; none is kept.

    Attributes:
        limit: The most bytes that are taken.
    """

    http_status = 413

    def __init__(self, limit: int) -> None:
        """Word the error; how large the file is nobody has looked."""
        super().__init__(
            f"The file has more than {limit} bytes, the most that are accepted."
        )
        self.limit = limit


class BodyTooLargeError(RequestError):
    """Refuse a request's body before it fills memory or disk."""

    http_status = 413

    def __init__(self, limit: int) -> None:
        """Name the limit, in bytes."""
        super().__init__(f"The request body is larger than {limit} bytes.")


class ContentTypeError(RequestError):
    """Refuse a body of another kind than the operation takes."""

    http_status = 415

    def __init__(self, given: str, expected: str) -> None:
        """Name both content types."""
        super().__init__(
            f"Unsupported content type: '{given[:100]}'. This API method only accepts "
            f"'{expected}' requests.",
            code="unsupported_content_type",
        )


class HostNotAllowedError(RequestError):
    """Refuse what was not addressed to this machine (DNS rebinding)."""

    http_status = 403

    def __init__(self) -> None:
        """Say how to serve other hosts."""
        super().__init__(
            "This server takes requests without a key only under a loopback name. Make "
            "a key and serve another host to be reached from elsewhere."
        )


class RunError(AssistantsError):
    """Tell that a run ended without an answer.

    Attributes:
        run: The run as it ended, with its usage and its `last_error`.
    """

    def __init__(self, message: str, *, run: Run) -> None:
        """Keep the run beside the message."""
        super().__init__(message)
        self.run = run


class RunFailed(RunError):
    """Tell that the model, a tool or the engine failed; see `run.last_error`."""


class RunCancelled(RunError):
    """Tell that somebody cancelled the run."""


class RunExpired(RunError):
    """Tell that the run's deadline passed before it ended."""


class RunIncomplete(RunError):
    """Tell that a token budget ended the run; see `run.incomplete_details`."""


class ToolError(AssistantsError):
    """Tell that a tool could not be used; the model sees the message."""


class InterpreterError(AssistantsError):
    """Tell that a code interpreter session could not start or was lost."""


class StorageError(AssistantsError):
    """Tell that the database or a stored blob could not be read or written."""


class ConfigurationError(AssistantsError):
    """Tell which setting, extra or argument is missing or contradicts another."""


class ApprovalRequired(RunError):
    """Tell that a run waits for a human's decision; see `run.required_action`."""


def approval_required(run: Run) -> ApprovalRequired:
    """Make the error of a caller that cannot decide for a human."""
    return ApprovalRequired(
        f"Run {run.id} on thread {run.thread_id} waits for a human's approval. Answer "
        "each request of run.required_action.approval with "
        "engine.runs.submit_tool_outputs.",
        run=run,
    )


def run_error(run: Run) -> RunError:
    """Choose the error of a run that ended without completing.

    Raises:
        ValueError: The run is still active, or it completed.
    """
    where = f"Run {run.id} on thread {run.thread_id}"
    if run.status == "failed":
        cause = run.last_error
        why = f" ({cause.code}: {cause.message})" if cause else ""
        return RunFailed(
            f"{where} failed{why}. Its messages are kept: "
            "start another run on the thread to try again.",
            run=run,
        )
    if run.status == "cancelled":
        return RunCancelled(
            f"{where} was cancelled. Start another run on the thread to go on.", run=run
        )
    if run.status == "expired":
        return RunExpired(
            f"{where} passed its deadline. Submit tool outputs sooner, "
            "or give the next run more time with expires_after.",
            run=run,
        )
    if run.status == "incomplete":
        details = run.incomplete_details
        budget = (details and details.reason) or "a token budget"
        return RunIncomplete(
            f"{where} used up {budget} and ended incomplete. "
            "Raise or drop that limit and start another run on the thread.",
            run=run,
        )
    raise ValueError(f"{where} is {run.status}, which is not an error.")


def not_available(what: str) -> ConfigurationError:
    """Make the error of a part that a later version brings."""
    return ConfigurationError(
        f"{what} is not available in this version of langchain-assistants yet; see its "
        "CHANGELOG for what is."
    )
