"""A support bot: a folder of documents in three languages, answers with footnotes.

The hosted `file_search`, as on OpenAI's servers: the documents are read, cut and
indexed in a vector store on this machine; the model searches it, and each passage that
its answer cites is an annotation with offsets, file and quote. The scripted model
copies the line that answers the question out of what the search has found.

    python examples/support_bot.py
    python examples/support_bot.py --model openai:gpt-4o
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from model_option import open_engine

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.testing import Reply, call
from langchain_assistants.types import Message, VectorStore

DOCUMENTS = Path(__file__).parent / "support_documents"
INSTRUCTIONS = (
    "You are the support of a bicycle shop. Answer from the shop's documents only, in "
    "the customer's language, and cite each passage that you use."
)
QUESTIONS = {
    "How many days do I have to return a bicycle?": ("30 days", "returns.md"),
    "Was kostet der Versand eines Fahrrads?": ("39 €", "versand.md"),
    "バッテリーの保証期間は何年ですか。": ("二年", "hosho.md"),
}


def answer(messages: list[Any], asked: Any) -> Reply | str:
    """Stand in for a model: search for the question, quote the line that fits best."""
    question = next(m.text for m in reversed(messages) if m.type == "human")
    if messages[-1].type != "tool":
        return Reply(tool_calls=[call("file_search", {"query": question})])
    passages = re.findall(r"(【[^】]*】)\n([^【]*)", messages[-1].text)
    cited = [(line, mark) for mark, text in passages for line in text.splitlines()]
    line, mark = max(cited, key=lambda pair: likeness(pair[0], question))
    return f"{line}{mark}"


def likeness(one: str, other: str) -> int:
    """Count the pairs of characters that two texts share, in whatever language."""
    return len({*pairwise(one)} & {*pairwise(other)})


def index(engine: AssistantsEngine) -> VectorStore:
    """Put the documents into a vector store, and wait until they can be found."""
    store = engine.vector_stores.create(name="Support")
    for path in sorted(DOCUMENTS.glob("*/*")):
        file = engine.files.create(file=path, purpose="assistants")
        engine.vector_stores.files.create(
            store.id, file_id=file.id, attributes={"language": path.parent.name}
        )
    return engine.vector_stores.wait(store.id)


def footnotes(engine: AssistantsEngine, message: Message) -> tuple[str, list[str]]:
    """Return a message's text with numbers in place of its markers, and the notes."""
    (part,) = message.content
    assert part.type == "text"
    shown, notes, end = "", [], 0
    for number, note in enumerate(part.text.annotations, 1):
        assert note.type == "file_citation"
        shown += f"{part.text.value[end : note.start_index]} [{number}]"
        cited, end = note.file_citation, note.end_index
        name = engine.files.retrieve(cited.file_id).filename
        passage = " ".join((cited.quote or "").split())
        notes.append(f"[{number}] {name}: “{passage[:60]}…”")
    return shown + part.text.value[end:], notes


def main() -> None:
    """Index the documents, and ask in each language."""
    engine, model, scripted = open_engine(__doc__ or "", answer)
    with engine:
        store = index(engine)
        counts = store.file_counts
        print(f"indexed: {counts.completed} of {counts.total} documents")
        assert counts.completed == counts.total >= len(QUESTIONS)
        bot = AssistantRunnable.create_assistant(
            name="Support",
            instructions=INSTRUCTIONS,
            tools=[{"type": "file_search"}],
            model=model,
            engine=engine,
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )
        for question, (fact, source) in QUESTIONS.items():
            text, notes = footnotes(engine, bot.invoke(question)[-1])
            print("\n  you:", question)
            print("  bot:", text)
            for note in notes:
                print("      ", note)
            if scripted:
                assert fact in text
                assert [note.split()[1] for note in notes] == [f"{source}:"]


if __name__ == "__main__":
    main()
