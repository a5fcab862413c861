from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from langchain_assistants import errors
from langchain_assistants.types import IncompleteDetails, LastError, Run


def a_run(status: str = "failed", **fields: object) -> Run:
    return Run.model_validate(
        {
            "id": "run_a",
            "thread_id": "thread_a",
            "assistant_id": "asst_a",
            "created_at": 1,
            "model": "m",
            "status": status,
            **fields,
        }
    )


ALL = [
    errors.AssistantsError("broken"),
    errors.RequestError("bad", code="c", param="p"),
    errors.InvalidRequestError("bad", code="invalid_value", param="limit"),
    errors.ActiveRunError("thread_a", "run_a"),
    errors.AuthenticationError("who?", code="invalid_api_key"),
    errors.NotFoundError.for_id("thread", "thread_a"),
    errors.FileTooLargeError(10),
    errors.RunError("ended", run=a_run()),
    errors.approval_required(a_run("requires_action")),
    errors.run_error(a_run("failed")),
    errors.run_error(a_run("cancelled")),
    errors.run_error(a_run("expired")),
    errors.run_error(a_run("incomplete")),
    errors.BodyTooLargeError(1000),
    errors.ContentTypeError("text/plain", "application/json"),
    errors.HostNotAllowedError(),
    errors.ToolError("no tool"),
    errors.InterpreterError("no session"),
    errors.StorageError("locked"),
    errors.ConfigurationError("no model"),
]


def names_of(error: type[BaseException]) -> set[str]:
    return {error.__name__}.union(*map(names_of, error.__subclasses__()))


def test_every_error_class_is_exported_and_drawn_in_the_tree() -> None:
    # These three are caught inside the engine: nobody outside ever sees them.
    inside = {"Conflict", "Fenced", "TakenOver"}
    classes = names_of(errors.AssistantsError) - inside
    makers = {"approval_required", "not_available", "run_error"}
    assert classes | makers == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)
    assert all(name in (errors.__doc__ or "") for name in classes)
    assert classes == {type(error).__name__ for error in ALL}


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_every_error_survives_pickling(
    error: errors.AssistantsError, protocol: int
) -> None:
    error.add_note("seen in a worker")
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequestError, 400),
        (errors.ActiveRunError, 400),
        (errors.AuthenticationError, 401),
        (errors.NotFoundError, 404),
        (errors.FileTooLargeError, 413),
    ],
)
def test_request_errors_name_their_http_status(
    error: type[errors.RequestError], status: int
) -> None:
    assert error.http_status == status


def test_code_and_param_are_keyword_only_and_default_to_none() -> None:
    error = errors.InvalidRequestError("Cannot cancel run with status 'completed'.")
    assert (error.code, error.param) == (None, None)
    parameters = inspect.signature(errors.InvalidRequestError).parameters
    assert parameters["code"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    ("kind", "id", "message", "param"),
    [
        ("assistant", "asst_x", "No assistant found with id 'asst_x'.", None),
        ("thread", "thread_x", "No thread found with id 'thread_x'.", None),
        ("run step", "step_x", "No run step found with id 'step_x'.", None),
        ("vector store", "vs_x", "No vector store found with id 'vs_x'.", None),
        ("file", "file-x", "No such File object: file-x", "id"),
    ],
)
def test_not_found_has_the_originals_text(
    kind: str, id: str, message: str, param: str | None
) -> None:
    error = errors.NotFoundError.for_id(kind, id)
    assert (str(error), error.code, error.param) == (message, None, param)


def test_an_active_run_refuses_a_second_run() -> None:
    error = errors.ActiveRunError("thread_a", "run_a")
    assert str(error) == "Thread thread_a already has an active run run_a."
    assert (error.thread_id, error.run_id) == ("thread_a", "run_a")


def test_an_active_run_refuses_messages() -> None:
    error = errors.ActiveRunError("thread_a", "run_a", adding_messages=True)
    assert str(error) == "Can't add messages to thread_a while a run run_a is active."


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("failed", errors.RunFailed),
        ("cancelled", errors.RunCancelled),
        ("expired", errors.RunExpired),
        ("incomplete", errors.RunIncomplete),
    ],
)
def test_the_status_of_a_run_chooses_its_error(
    status: str, error: type[errors.RunError]
) -> None:
    run = a_run(status)
    raised = errors.run_error(run)
    assert type(raised) is error
    assert raised.run is run
    assert "run_a" in str(raised)
    assert "thread_a" in str(raised)


def test_a_failed_run_tells_its_last_error() -> None:
    run = a_run(last_error=LastError(code="server_error", message="No model."))
    assert str(errors.run_error(run)) == (
        "Run run_a on thread thread_a failed (server_error: No model.). Its messages "
        "are kept: start another run on the thread to try again."
    )


def test_an_incomplete_run_tells_which_budget_ended_it() -> None:
    details = IncompleteDetails(reason="max_prompt_tokens")
    run = a_run("incomplete", incomplete_details=details)
    assert "used up max_prompt_tokens" in str(errors.run_error(run))


@pytest.mark.parametrize("status", ["completed", "queued", "requires_action"])
def test_a_run_that_has_not_gone_wrong_has_no_error(status: str) -> None:
    with pytest.raises(ValueError, match=f"run_a .* is {status}"):
        errors.run_error(a_run(status))
