"""AssistantsEngine: opens, wires and closes everything; it has no rules of its own."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import make_url

from langchain_assistants.engine.api_keys import ApiKeys
from langchain_assistants.engine.code_interpreter import CodeInterpreter
from langchain_assistants.engine.conductor import Conductor
from langchain_assistants.engine.diagnosis import Diagnosis
from langchain_assistants.engine.dispatch import InProcessDispatcher
from langchain_assistants.engine.doctor import examine
from langchain_assistants.engine.driver import Driver
from langchain_assistants.engine.executor import Executor
from langchain_assistants.engine.file_search import FileSearch
from langchain_assistants.engine.heartbeat import Heartbeat
from langchain_assistants.engine.hosted import HostedTools
from langchain_assistants.engine.ingester import Ingester
from langchain_assistants.engine.location import (
    IN_MEMORY,
    open_blobs,
    open_database,
    sqlite_path,
)
from langchain_assistants.engine.models import ChatModelFactory, Models, fallbacks
from langchain_assistants.engine.offloading import Offloading
from langchain_assistants.engine.ownership import Ownership
from langchain_assistants.engine.portal import Portal, await_apart, blocking
from langchain_assistants.engine.run_graph import RunGraphs
from langchain_assistants.engine.run_saver import RunSaver
from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.engine.thread_interpreters import ThreadInterpreters
from langchain_assistants.engine.toolset import Implementations, ToolLike
from langchain_assistants.engine.workplace import DEFAULT_TENANT, Workplace
from langchain_assistants.interpreters.base import InterpreterProvider
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.retrieval.embedder import Embedder
from langchain_assistants.retrieval.outside import (
    MakeStore,
    OutsideStores,
    function_of,
)
from langchain_assistants.retrieval.search import ChunkSearch
from langchain_assistants.settings import Settings

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.documents import BaseDocumentCompressor
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_assistants.in_process import AsyncOpenAI, OpenAI

logger = logging.getLogger(__name__)


class AssistantsEngine:
    """Assistants, threads, messages, runs, steps and files in a database of yours.

    One object may be used from several threads and event loops.

    Args:
        url: `sqlite:///file.db`, `sqlite:///:memory:`; None: `Settings.database_url`.
        chat_model: One model for every model name, or `factory(name, **params)`;
            None: LangChain's `init_chat_model`.
        model_map: Other names to use, as `{"gpt-4o": "anthropic:claude-..."}`.
        model_fallbacks: Models to try when the run's own fails.
        tools: Engine tools; they serve an assistant's tool entry that carries
            `"run_on": "engine"` (extension).
        middleware: LangChain agent middleware around every run.
        embeddings: Makes vectors for file search: LangChain's Embeddings, or a name
            as `"openai:text-embedding-3-small"`. None: words alone are compared, and
            nothing leaves the machine.
        reranker: Reorders the best 50 results of a file search: a LangChain
            `BaseDocumentCompressor`.
        interpreter: Where the code interpreter executes code: "local", "e2b", or a
            provider; None: runs that need it fail.
        retrieval: `make_store(vector_store_id)`, or where it is, as
            `"mypackage.module:make_store"`: makes the LangChain VectorStore or
            retriever that file search asks in place of its own index.
        settings: Limits and defaults; None: from the environment.
        recover: Whether to take over runs of processes that died.
        clock: Returns seconds since the epoch.

    Raises:
        ConfigurationError: An argument cannot be used, or is not available yet.
        StorageError: The database cannot be opened, or is newer than this version.

    Example:
        >>> from langchain_assistants.testing import ScriptedChatModel
        >>> engine = AssistantsEngine(
        ...     "sqlite:///:memory:", chat_model=ScriptedChatModel(["Hello!"])
        ... )
        >>> assistant = engine.assistants.create(model="scripted")
        >>> thread = engine.threads.create(
        ...     messages=[{"role": "user", "content": "Hi"}]
        ... )
        >>> run = engine.runs.create(thread.id, assistant_id=assistant.id)
        >>> engine.runs.wait(run.id).status
        'completed'
        >>> [message.text for message in engine.messages.list(thread.id)]
        ['Hello!', 'Hi']
        >>> engine.close()
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        chat_model: BaseChatModel | ChatModelFactory | None = None,
        model_map: Mapping[str, str] | None = None,
        model_fallbacks: Sequence[str | BaseChatModel] = (),
        tools: Sequence[ToolLike] = (),
        middleware: Sequence[AgentMiddleware[Any, Any]] = (),
        embeddings: str | Embeddings | None = None,
        reranker: BaseDocumentCompressor | None = None,
        interpreter: str | InterpreterProvider | None = None,
        retrieval: str | MakeStore | None = None,
        settings: Settings | None = None,
        recover: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the database, migrating it if it is older."""
        self.settings = settings if settings is not None else Settings()
        self.recover = recover
        self._closed = False
        self.url = url or self.settings.resolved_database_url()
        # What the arguments may get wrong comes before anything is opened.
        self._offloading = Offloading()
        own_tools = Implementations(tools, self._offloading)
        models = Models(chat_model, model_map or {}, self._offloading)
        self._provider = provider = find_provider(interpreter)
        fallback_models = fallbacks(
            model_fallbacks, lambda name: models.resolve(name, {})
        )
        embedder = None if embeddings is None else Embedder(embeddings)
        make_store = None if retrieval is None else function_of(retrieval)
        self.database = open_database(self.url, self.settings)
        outside = (
            None if make_store is None else OutsideStores(make_store, self.database)
        )
        self._workplace = Workplace(
            self.database,
            self.settings,
            clock,
            open_blobs(self.url),
            ChunkSearch(self.database, embedder, reranker, outside),
        )
        saver = RunSaver(self.database, keep=self.settings.keep_checkpoints)
        graphs = RunGraphs(
            saver,
            middleware,
            fallback_models,
            self.settings,
        )
        hosted: dict[str, HostedTools] = {"file_search": FileSearch(self._workplace)}
        self._interpreters = None
        if provider is not None:
            self._interpreters = ThreadInterpreters(self._workplace, provider)
            hosted["code_interpreter"] = CodeInterpreter(
                self._workplace, self._interpreters
            )
        driver = Driver(self._workplace, models, graphs, saver, own_tools, hosted)
        ownership = Ownership(f"worker_{uuid.uuid4().hex}", self.settings.lease, clock)
        self._conductor = Conductor(
            self._workplace,
            Executor(self._workplace, driver, saver, own_tools),
            InProcessDispatcher(
                self._workplace.portal, self.settings.max_concurrent_runs
            ),
            ownership,
        )
        own = self.for_tenant(DEFAULT_TENANT)
        self.assistants = own.assistants
        self.threads = own.threads
        self.messages = own.messages
        self.runs = own.runs
        self.steps = own.steps
        self.files = own.files
        self.uploads = own.uploads
        self.vector_stores = own.vector_stores
        self.api_keys = ApiKeys(self._workplace)
        self._ingester = Ingester(self._workplace)
        self._heartbeat = Heartbeat(
            self._workplace,
            ownership,
            self._conductor,
            ingester=self._ingester,
            recover=recover,
            tools=own_tools.names | hosted.keys(),
        )
        self._heartbeat.start()

    def for_tenant(self, tenant: str) -> TenantResources:
        """Return the resources as a tenant sees them; the engine's own are "default"'s.

        Objects of other tenants are as absent: `NotFoundError`, and in no list.
        """
        return TenantResources(self._workplace, self._conductor, tenant)

    def implementations(self, tools: Sequence[ToolLike]) -> Implementations:
        """Return tools in the form in which a caller's run takes them."""
        return Implementations(tools, self._offloading)

    @property
    def portal(self) -> Portal:
        """The loop that synchronous callers wait for."""
        return self._workplace.portal

    @property
    def conductor(self) -> Conductor:
        """Who leads the runs; the faces of the engine start theirs here."""
        return self._conductor

    @cached_property
    def _wire(self) -> Any:
        from langchain_assistants.in_process import application

        return application(self)

    def openai(self) -> OpenAI:
        """Return a real `openai.OpenAI` whose calls reach this engine in process.

        Closing the client leaves the engine open. May be called on any thread but the
        engine's own (an async tool's): use `async_openai` there.

        Raises:
            ConfigurationError: The extras `openai` and `server` are not installed.
        """
        from langchain_assistants.in_process import openai_client

        return openai_client(self._wire, self.portal)

    def async_openai(self) -> AsyncOpenAI:
        """Return a real `openai.AsyncOpenAI` on this engine; see `openai`."""
        from langchain_assistants.in_process import async_openai_client

        return async_openai_client(self._wire)

    async def abackup(
        self, path: str | PathLike[str], *, overwrite: bool = False
    ) -> Path:
        """Copy the database into a file; runs, reads and writes go on meanwhile.

        The copy holds what was stored when it was begun. It is one complete file: it
        appears at once or, if anything goes wrong, not at all.

        Args:
            path: The file to make.
            overwrite: Whether to replace a file that is there.

        Returns:
            The file's absolute path.

        Raises:
            StorageError: The file is there already, is a database in use, or cannot
                be written.
        """
        return await self.database.back_up(path, overwrite=overwrite)

    async def adoctor(self, *, repair: bool = False) -> Diagnosis:
        """Look over the database, its file and the versions at work.

        Args:
            repair: Whether to end runs whose lease and deadline are over, delete rows
                that belong to nothing, and empty SQLite's log. Runs of processes that
                live are left alone.
        """
        path = sqlite_path(self.url)
        return await examine(
            path,
            self.settings,
            self._workplace.clock(),
            repair=repair,
            in_memory=self.database if path == IN_MEMORY else None,
            blobs=self._workplace.blobs,
            interpreter=self._provider,
        )

    backup = blocking(abackup)
    doctor = blocking(adoctor)

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    def close(self) -> None:
        """Cancel the runs that execute in the background and close the database."""
        self._closed = True
        self._heartbeat.stop()  # first, or it takes over what nobody executes here
        self._workplace.portal.stop()
        self._ingester.close()
        self._conductor.close()
        if self._interpreters is not None:
            await_apart(self._interpreters.aclose)
        self._offloading.close()
        self.database.close()
        self._workplace.blobs.close()

    async def aclose(self) -> None:
        """Close the engine without blocking the loop."""
        import anyio.to_thread

        await anyio.to_thread.run_sync(self.close)

    def __enter__(self) -> Self:
        """Return the engine; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return the engine; leaving the block closes it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""
        await self.aclose()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: a copy of a runnable works in the same database."""
        return self

    def __repr__(self) -> str:
        """Name the database, without a password."""
        return f"AssistantsEngine({make_url(self.url)!r})"
