"""The command line: options, errors and exit codes; the commands are in `terminal`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from langchain_assistants import __version__
from langchain_assistants.errors import AssistantsError

INTERRUPTED = 130
"""The exit code that shells give to Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Execute one command and return its exit code.

    Args:
        argv: The arguments after the program's name; None: those of the process.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if "command" not in options:
        parser.print_help()
        return 0
    # A terminal that cannot show a character gets another one, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        code: int = options.command(options)
    except AssistantsError as error:
        _report(error)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="langchain-assistants",
        description="Assistants, threads and runs on LangGraph, with any chat model.",
        epilog="langchain-assistants COMMAND --help shows the options of a command.",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"langchain-assistants {__version__}",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="see an assistant at work: no key, no network, a few seconds",
        description="A tutor answers, calls two functions at once and goes on in a "
        "second process; a process is killed, and its run goes on. Without --model a "
        "scripted model plays the LLM.",
    )
    demo.add_argument(
        "--model", metavar="MODEL", help="run it for real, such as openai:gpt-4o"
    )
    demo.add_argument(
        "--database",
        metavar="FILE",
        help="the SQLite file to write (default: a new one in the temporary folder)",
    )
    demo.set_defaults(command=_demo)

    chat = commands.add_parser(
        "chat",
        help="talk to an assistant; it remembers the thread tomorrow",
        description="Talk to an assistant. Lines from a pipe are messages too.",
    )
    chat.add_argument(
        "--model",
        metavar="MODEL",
        help="provider:model (default: openai:gpt-4o when OPENAI_API_KEY is set)",
    )
    chat.add_argument(
        "--thread",
        metavar="KEY",
        default="chat",
        help="your name for the conversation to begin or to go on with "
        "(default: %(default)s)",
    )
    chat.add_argument(
        "--tools",
        metavar="MODULE:NAME",
        help="a function, a LangChain tool, or a list of them, to import",
    )
    chat.add_argument(
        "--instructions", metavar="TEXT", help="what the assistant is to do"
    )
    chat.set_defaults(command=_chat)

    serve = commands.add_parser(
        "serve",
        help="serve the Assistants API over HTTP, for any client in any language",
        description="Serve the Assistants API under /v1: point base_url of OpenAI's "
        "clients at it. Needs no key on this machine alone; another host needs one.",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s)"
    )
    serve.add_argument(
        "--port", type=int, default=8000, help="0: any free one (default: %(default)s)"
    )
    serve.add_argument(
        "--model-map",
        metavar="NAME=OTHER",
        action="append",
        default=[],
        help="another model in place of one, such as gpt-4o=anthropic:MODEL; "
        "may be repeated",
    )
    serve.add_argument(
        "--tools",
        metavar="MODULE:NAME",
        action="append",
        default=[],
        help="tools for assistants whose entry says run_on: engine; may be repeated",
    )
    serve.add_argument(
        "--interpreter",
        metavar="NAME",
        help="where the code interpreter executes code: local (a jail on this "
        "machine) or e2b (default: nowhere)",
    )
    serve.add_argument(
        "--embeddings",
        metavar="NAME",
        help="vectors for file search besides words, such as "
        "openai:text-embedding-3-small (default: words alone)",
    )
    serve.add_argument(
        "--strict-beta-header",
        action="store_true",
        help="refuse requests without OpenAI-Beta: assistants=v2, as the original",
    )
    serve.add_argument(
        "--cors-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="let this origin's web pages call; may be repeated (default: none)",
    )
    serve.add_argument(
        "--drain",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="how long streams may go on after SIGTERM (default: %(default)s)",
    )
    serve.set_defaults(command=_serve)

    ingest = commands.add_parser(
        "ingest",
        help="put the files of a folder into a vector store, to be searched",
        description="Index the files of a folder and of those in it; hidden ones are "
        "left out. The exit code is 1 where one could not be indexed.",
    )
    ingest.add_argument("folder", metavar="DIR", help="the folder")
    ingest.add_argument(
        "--store",
        metavar="NAME",
        required=True,
        help="the vector store's name: the newest of that name, or a new one",
    )
    ingest.add_argument(
        "--embeddings",
        metavar="MODEL",
        help="make vectors too, such as openai:text-embedding-3-small",
    )
    ingest.set_defaults(command=_ingest)

    keys = commands.add_parser(
        "keys",
        help="make, list or revoke the API keys of a server's callers",
        description="API keys of a server's callers; each belongs to a tenant, who "
        "sees no other's objects.",
    )
    actions = keys.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument(
        "--tenant", default="default", help="whose it is (default: %(default)s)"
    )
    create.add_argument("--name", help="what its owner calls it")
    create.set_defaults(command=_create_key)
    listing = actions.add_parser("list", help="show the keys, not what they are")
    listing.set_defaults(command=_list_keys)
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("key_id", metavar="ID", help="as keys list shows it")
    revoke.set_defaults(command=_revoke_key)

    doctor = commands.add_parser(
        "doctor",
        help="look over a database: its file, stuck runs, rows of nobody, versions",
        description="Look over a database while others use it. The exit code is 1 "
        "where there is a problem.",
    )
    doctor.add_argument(
        "--repair",
        action="store_true",
        help="end runs whose lease and deadline are over, delete rows of nobody, and "
        "empty the log",
    )
    doctor.add_argument(
        "--json", action="store_true", help="print the findings as JSON"
    )
    doctor.set_defaults(command=_doctor)

    backup = commands.add_parser(
        "backup",
        help="copy a database into a file while others use it",
        description="Copy a database into a file while others use it.",
    )
    backup.add_argument("path", metavar="PATH", help="the file to make")
    backup.add_argument(
        "--overwrite", action="store_true", help="replace a file that is there"
    )
    backup.set_defaults(command=_backup)

    for command in (chat, serve, ingest, create, listing, revoke, doctor, backup):
        command.add_argument(
            "--database",
            "--database-url",
            dest="database",
            metavar="FILE",
            help="the SQLite file or URL (default: the one in your data folder)",
        )
    return parser


def _demo(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.demo import demo

    return demo(model=options.model, database=options.database)


def _chat(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.chat import chat

    return chat(
        model=options.model,
        thread=options.thread,
        tools=options.tools,
        instructions=options.instructions,
        database=options.database,
    )


def _serve(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.serve import serve

    return serve(
        host=options.host,
        port=options.port,
        database=options.database,
        model_map=options.model_map,
        tools=options.tools,
        interpreter=options.interpreter,
        embeddings=options.embeddings,
        strict_beta_header=options.strict_beta_header,
        cors_origins=options.cors_origin,
        drain_seconds=options.drain,
    )


def _ingest(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.ingest import ingest

    return ingest(
        options.folder,
        store=options.store,
        database=options.database,
        embeddings=options.embeddings,
    )


def _create_key(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.keys import create_key

    return create_key(
        database=options.database, tenant=options.tenant, name=options.name
    )


def _list_keys(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.keys import list_keys

    return list_keys(database=options.database)


def _revoke_key(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.keys import revoke_key

    return revoke_key(options.key_id, database=options.database)


def _doctor(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.doctor import doctor

    return doctor(
        database=options.database, repair=options.repair, as_json=options.json
    )


def _backup(options: argparse.Namespace) -> int:
    from langchain_assistants.terminal.backup import backup

    return backup(options.path, database=options.database, overwrite=options.overwrite)


def _report(error: AssistantsError) -> None:
    """Write an error: its first line in red, what to do about it below."""
    from rich.console import Console
    from rich.text import Text

    from langchain_assistants.terminal.transcript import printable

    headline, _, advice = printable(str(error)).partition("\n")
    console = Console(stderr=True)
    console.print(Text(f"error: {headline}", "red"), soft_wrap=True)
    if advice:
        console.print(Text(advice), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
