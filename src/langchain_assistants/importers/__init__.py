"""Old data taken in: what was saved of OpenAI's Assistants API, by whatever program."""

from langchain_assistants.importers.report import Issue, Report
from langchain_assistants.importers.saved import import_saved

__all__ = ["Issue", "Report", "import_saved"]
