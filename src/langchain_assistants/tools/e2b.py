"""The code interpreter in E2B's cloud, under the name of LangChain's old tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_assistants.interpreters.e2b import E2BSession
from langchain_assistants.tools.code_interpreter import DESCRIPTION, CodeInterpreterTool


class E2BCodeInterpreterTool(CodeInterpreterTool):
    """Execute the model's Python in an E2B sandbox, with E2B's current SDK.

    The sandbox starts with the first call. It is paid for until `close`, or until it
    was not used for `idle_seconds`; keep its `sandbox_id` to go on with it in another
    process. It has no internet unless `allow_internet_access=True` (without which
    `install_python_packages` fails).

    Example:
        >>> tool = E2BCodeInterpreterTool()  # the key: E2B_API_KEY
        >>> tool.name
        'e2b_data_analysis'
    """

    name: str = "e2b_data_analysis"

    def __init__(
        self,
        *,
        api_key: str | None = None,
        sandbox_id: str | None = None,
        template: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        allow_internet_access: bool = False,
        idle_seconds: int = 1200,
        **fields: Any,
    ) -> None:
        """Connect to nothing yet; the arguments are `E2BSession`'s.

        Args:
            api_key: None: the environment's E2B_API_KEY.
            sandbox_id: A running or paused sandbox to go on with.
            template: An E2B template with their code interpreter; None: theirs.
            env_vars: The environment of the code; the model can read it.
            allow_internet_access: Let the code reach the internet.
            idle_seconds: E2B ends the sandbox when it was not used for so long.
            **fields: Fields of the tool, such as `timeout` and `on_artifact`.

        Raises:
            ConfigurationError: The SDK is not installed.
        """
        fields["session"] = E2BSession(
            api_key=api_key,
            sandbox_id=sandbox_id,
            template=template,
            env_vars=env_vars,
            allow_internet_access=allow_internet_access,
            idle_seconds=idle_seconds,
        )
        if not allow_internet_access:
            fields.setdefault("description", f"{DESCRIPTION} There is no internet.")
        super().__init__(**fields)

    @property
    def sandbox_id(self) -> str | None:
        """The id to reconnect with; None before the first call."""
        return self.session.id


E2BDataAnalysisTool = E2BCodeInterpreterTool
