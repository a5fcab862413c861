"""What every part of an engine works with: database, files, clock, settings, ..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_assistants.engine.bells import Bells, Doorbell
from langchain_assistants.engine.ids import NewId, new_id
from langchain_assistants.engine.portal import Portal
from langchain_assistants.retrieval.search import ChunkSearch
from langchain_assistants.settings import Settings
from langchain_assistants.storage.blobs import Blobs
from langchain_assistants.storage.database import Database

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Workplace:
    """The things an engine opens once and its parts share.

    Attributes:
        database: Executes transactions.
        settings: Defaults and limits.
        clock: Returns the time in seconds since the epoch; tests inject one.
        blobs: Keeps the contents of files.
        chunks: Searches what is indexed of them.
        attached: Rung when files wait to be indexed.
        indexed: Rings under the id of a vector store of which a file is waited for no
            longer.
        new_id: Makes an object id from its prefix; tests inject one.
        portal: Where synchronous callers and background runs meet the loop.
    """

    database: Database
    settings: Settings
    clock: Callable[[], float]
    blobs: Blobs
    chunks: ChunkSearch
    attached: Doorbell = field(default_factory=Doorbell)
    indexed: Bells = field(default_factory=Bells)
    new_id: NewId = new_id
    portal: Portal = field(default_factory=Portal)
