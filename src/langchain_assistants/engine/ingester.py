"""Indexes the files that wait in vector stores, in the background.

Read in a process of their own, cut, embedded outside any transaction, then written in
one: a file is in a store whole or not at all, whatever dies meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator

from langchain_assistants.engine.daemon_threads import DaemonThreadPool
from langchain_assistants.engine.ingestion_rows import (
    MAX_ATTEMPTS,
    ClaimedFile,
    claim_file,
    complete_file,
    copy_file,
    equal_file,
    fail_file,
    give_back,
    is_any_waiting,
    renew_claims,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import (
    AssistantsError,
    ConfigurationError,
    StorageError,
)
from langchain_assistants.retrieval.documents import RefusedFile
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.retrieval.outside import OutsideStores
from langchain_assistants.retrieval.parser import ChunkedDocument, Parser

logger = logging.getLogger(__name__)

_AT_ONCE = 2
"""Files that are read at once: each takes a process and its memory."""
_BEATS_A_LEASE = 4
_IDLE_SECONDS = 30.0
"""How long a process waits for another file before it is ended."""


class Ingester:
    """Indexes files on the engine's own loop, whenever some wait.

    Args:
        workplace: The database, the files, and what searches them.
    """

    def __init__(self, workplace: Workplace) -> None:
        """Start nothing."""
        self._workplace = workplace
        self._lock = threading.Lock()
        self._serving = 0
        self._rings = 0
        self._threads = DaemonThreadPool("langchain-assistants-reader")
        self._idle: list[tuple[Parser, float]] = []
        self._closed = False
        workplace.attached.answered_by(self.wake)

    def wake(self) -> None:
        """Look for files that wait, from any thread; returns at once."""
        with self._lock:
            if self._closed:
                return
            self._rings += 1
            missing = _AT_ONCE - self._serving
            self._serving += missing
        for _ in range(missing):
            try:
                self._workplace.portal.start(self._serve)
            except ConfigurationError:  # it was closed a moment ago
                self._leave()

    async def recover(self) -> None:
        """Look for files that wait for nobody any more: their process died."""
        model, now = self._workplace.chunks.model, self._workplace.clock()
        if await self._workplace.database.read(is_any_waiting(model, now)):
            self.wake()

    def tidy_up(self) -> None:
        """End the processes that have had nothing to do for a while."""
        long_ago = time.monotonic() - _IDLE_SECONDS
        with self._lock:
            old = [parser for parser, since in self._idle if since <= long_ago]
            self._idle = [each for each in self._idle if each[1] > long_ago]
        for parser in old:
            parser.close()

    def close(self) -> None:
        """End the processes; the loop has been stopped before."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for parser, _ in idle:
            parser.close()
        self._threads.shutdown()

    async def _serve(self) -> None:
        """Index file after file, until none waits."""
        try:
            while True:
                rings = self._rings
                file = await self._next()
                if file is not None:
                    await self._index(file)
                    continue
                with self._lock:
                    # A file that was attached since then is nobody else's.
                    if rings == self._rings:
                        self._serving -= 1
                        return
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            self._serving -= 1

    async def _next(self) -> ClaimedFile | None:
        database, now = self._workplace.database, self._workplace.clock()
        if not await database.read(is_any_waiting(self._workplace.chunks.model, now)):
            return None
        worker = f"ingester_{uuid.uuid4().hex}"
        return await database.write(
            claim_file(worker, self._workplace.chunks.model, now, self._lease_until())
        )

    def _lease_until(self) -> float:
        return self._workplace.clock() + self._workplace.settings.lease

    async def _index(self, file: ClaimedFile) -> None:
        database = self._workplace.database
        try:
            async with self._claim_kept(file):
                await self._indexed(file)
        except RefusedFile as refused:
            logger.info(
                "file_not_indexed",
                extra={"file_id": file.file_id, "code": refused.code},
            )
            await database.write(fail_file(file, refused))
        except StorageError as error:  # the disk may have room when the lease is over
            logger.warning(
                "file_index_delayed",
                extra={"file_id": file.file_id, "error": type(error).__name__},
            )
        except asyncio.CancelledError:  # the engine is closed
            with contextlib.suppress(StorageError):
                await database.write(give_back(file))
            raise
        finally:
            self._workplace.indexed.ring(file.store_id)

    async def _indexed(self, file: ClaimedFile) -> None:
        """Index a file.

        Raises:
            RefusedFile: It cannot be.
        """
        if file.attempt > MAX_ATTEMPTS:
            raise RefusedFile(
                "server_error",
                f"Indexing the file was begun {MAX_ATTEMPTS} times, and never ended.",
            )
        database = self._workplace.database
        try:
            outside = self._workplace.chunks.outside
            equal = None if outside else await database.read(equal_file(file))
            if equal is not None and await database.write(copy_file(file, equal)):
                return
            document = await self._read(file)
            chunks = await self._embedded(file, document)
            if outside is not None:
                await self._put_outside(outside, file, chunks)
            await database.write(complete_file(file, chunks))
        except (RefusedFile, StorageError):
            raise
        except AssistantsError as error:
            raise RefusedFile("server_error", str(error)) from error
        except Exception as error:  # the files behind it must not wait for ever
            logger.error("file_index_crashed", extra={"file_id": file.file_id})
            logger.debug("file_index_crashed_by", exc_info=error)
            raise RefusedFile(
                "server_error",
                f"Indexing the file failed ({type(error).__name__}). See the log.",
            ) from error

    async def _read(self, file: ClaimedFile) -> ChunkedDocument:
        """Read a file in a process; when the wait is cancelled, so is that."""
        path = self._workplace.blobs.path(file.file_id)
        loop = asyncio.get_running_loop()
        parser = self._borrowed()
        try:
            document = await loop.run_in_executor(
                self._threads, parser.read, path, file.filename, file.chunking
            )
        except asyncio.CancelledError:
            parser.close()
            raise
        except RefusedFile:
            self._give_back(parser)
            raise
        self._give_back(parser)
        return document

    def _borrowed(self) -> Parser:
        with self._lock:
            return self._idle.pop()[0] if self._idle else Parser()

    def _give_back(self, parser: Parser) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((parser, time.monotonic()))
                return
        parser.close()

    async def _embedded(
        self, file: ClaimedFile, document: ChunkedDocument
    ) -> list[StoredChunk]:
        """Return the chunks with their texts and, where there is a model, vectors.

        Raises:
            RefusedFile: The model has failed.
        """
        text = document.text
        texts = [text[chunk.start : chunk.end] for chunk in document.chunks]
        embedder = self._workplace.chunks.embedder
        vectors: list[bytes] | list[None] = [None] * len(texts)
        if file.embedding_model is not None and embedder is not None:
            try:
                vectors = await embedder.texts(texts)
            # Providers raise what they like; the file's owner learns of which kind.
            except Exception as error:
                raise RefusedFile(
                    "server_error",
                    f"The embedding model {embedder.name} failed "
                    f"({type(error).__name__}). Attach the file again later.",
                ) from error
        return [
            StoredChunk(
                chunk.index,
                chunk.start,
                chunk.end,
                chunk.page,
                chunk.tokens,
                piece,
                vector,
            )
            for chunk, piece, vector in zip(
                document.chunks, texts, vectors, strict=True
            )
        ]

    async def _put_outside(
        self, outside: OutsideStores, file: ClaimedFile, chunks: list[StoredChunk]
    ) -> None:
        """Put chunks into the user's own store, before ours says that they are there.

        Raises:
            RefusedFile: That store has failed.
        """
        try:
            await outside.put(file.store_id, file.file_id, file.filename, chunks)
        # A store of somebody else raises what it likes.
        except Exception as error:
            raise RefusedFile(
                "server_error",
                f"The store of retrieval= failed ({type(error).__name__}). Attach the "
                "file again later.",
            ) from error

    @contextlib.asynccontextmanager
    async def _claim_kept(self, file: ClaimedFile) -> AsyncIterator[None]:
        """Renew the lease of a file as long as it is being indexed."""
        seconds = self._workplace.settings.lease / _BEATS_A_LEASE

        async def renew() -> None:
            while True:
                await asyncio.sleep(seconds)
                with contextlib.suppress(StorageError):
                    await self._workplace.database.write(
                        renew_claims([file.worker], self._lease_until())
                    )

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
