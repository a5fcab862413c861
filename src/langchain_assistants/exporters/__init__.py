"""The way out: everything in shapes that other programs read."""

from langchain_assistants.exporters.conversations import conversations
from langchain_assistants.exporters.objects import Exported, objects

__all__ = ["Exported", "conversations", "objects"]
