"""All resources of one tenant: the one place where a tenant is chosen."""

from __future__ import annotations

from langchain_assistants.engine.assistants import Assistants
from langchain_assistants.engine.conductor import Conductor
from langchain_assistants.engine.exports import Exports
from langchain_assistants.engine.files import Files
from langchain_assistants.engine.imports import Imports
from langchain_assistants.engine.messages import Messages
from langchain_assistants.engine.runs import Runs
from langchain_assistants.engine.steps import Steps
from langchain_assistants.engine.threads import Threads
from langchain_assistants.engine.uploads import Uploads
from langchain_assistants.engine.vector_stores import VectorStores
from langchain_assistants.engine.workplace import Workplace


class TenantResources:
    """An engine's resources as one tenant sees them; no other's objects exist here."""

    def __init__(self, workplace: Workplace, conductor: Conductor, tenant: str) -> None:
        """Bind each resource to the tenant."""
        self.tenant = tenant
        self.assistants = Assistants(workplace, tenant=tenant)
        self.threads = Threads(workplace, tenant=tenant)
        self.messages = Messages(workplace, tenant=tenant)
        self.runs = Runs(workplace, tenant=tenant, conductor=conductor)
        self.steps = Steps(workplace, tenant=tenant)
        self.files = Files(workplace, tenant=tenant)
        self.uploads = Uploads(workplace, tenant=tenant)
        self.vector_stores = VectorStores(workplace, tenant=tenant)
        self.imports = Imports(workplace, tenant=tenant)
        self.exports = Exports(workplace, tenant=tenant)
