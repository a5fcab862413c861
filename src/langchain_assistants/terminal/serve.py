"""The command `serve`: an engine behind HTTP, until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.location import database_url
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.terminal.imported_tools import imported_tools
from langchain_assistants.terminal.model_map import model_map as pairs_of


def serve(
    *,
    host: str,
    port: int,
    database: str | None = None,
    model_map: Sequence[str] = (),
    tools: Sequence[str] = (),
    interpreter: str | None = None,
    embeddings: str | None = None,
    strict_beta_header: bool = False,
    cors_origins: Sequence[str] = (),
    drain_seconds: float,
) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        host: The address to listen on.
        port: The port.
        database: A SQLite file or a URL; None: the default engine's.
        model_map: `name=other` pairs.
        tools: `module:name` of the engine's tools.
        interpreter: The name of a provider for the code interpreter.
        embeddings: The name of a model that makes vectors for file search.
        strict_beta_header: Whether to demand `OpenAI-Beta: assistants=v2`.
        cors_origins: Origins whose web pages may call.
        drain_seconds: How long streams may go on after the signal.

    Returns:
        The exit code.

    Raises:
        AssistantsError: The options, the tools or the database cannot be used, or
            there is no key and the host is not this machine.
    """
    try:
        from langchain_assistants.server.app import create_app
        from langchain_assistants.server.callers import is_loopback
        from langchain_assistants.server.logs import write_logs
        from langchain_assistants.server.serving import Server, check_host
    except ImportError as error:
        raise ConfigurationError(
            f"serve needs the package {error.name}:\n"
            '  pip install "langchain-assistants[server]"'
        ) from error

    provider = find_provider(interpreter)
    if provider is not None and (problems := provider.check()):
        raise ConfigurationError(
            f"The interpreter '{interpreter}' does not work here:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    with AssistantsEngine(
        database_url(database, Settings()),
        model_map=pairs_of(model_map),
        tools=[tool for place in tools for tool in imported_tools(place)],
        interpreter=provider,
        embeddings=embeddings,
    ) as engine:
        check_host(engine, host)
        app = create_app(
            engine,
            keys="loopback" if is_loopback(host) else "required",
            strict_beta_header=strict_beta_header,
            cors_origins=cors_origins,
        )
        write_logs()
        server = Server(engine, app, host=host, port=port, drain_seconds=drain_seconds)
        _announce(server.url)
        server.serve()
    return 0


def _announce(url: str) -> None:
    console = Console(highlight=False)
    console.print(Text(f"Serving the Assistants API at {url}/v1"), soft_wrap=True)
    console.print(Text(f"Documentation at {url}/docs", "dim"), soft_wrap=True)
    console.file.flush()
