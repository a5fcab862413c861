"""How well file search finds: on questions whose answers are known.

The data are not part of the project: `LANGCHAIN_ASSISTANTS_RETRIEVAL_DATA` names a
folder with XQuAD (`xquad/<language>.jsonl`) and two corpora of chunking_evaluation
(`chunk_eval/`). Without it there is nothing to measure.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.measure import Effort
from benchmarks.rows import Budget, Row
from benchmarks.shelf import Shelf
from langchain_assistants import AssistantsEngine
from langchain_assistants.retrieval.chunking import Chunking, chunk
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.retrieval.tokens import estimate
from langchain_assistants.testing import ScriptedChatModel

DATA = "LANGCHAIN_ASSISTANTS_RETRIEVAL_DATA"

_LANGUAGES = ["en", "de", "es", "ro", "tr", "vi", "ru", "el", "ar", "hi", "th", "zh"]
_MEAN = Budget(0.925, "value", "at least")
_WORST = Budget(0.87, "value", "at least")
_FIRST_FIVE = Budget(95, "value", "at least")


class Question(NamedTuple):
    """A question with the spans of a text that answer it."""

    text: str
    spans: Sequence[Sequence[int]]


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure nDCG@10 in 12 languages, and what part of the answers is brought back."""
    named = os.environ.get(DATA)
    if not named:
        return
    data = Path(named)
    questions = effort.of(full=1_000_000, short=30)
    with AssistantsEngine(
        f"sqlite:///{folder / 'quality.db'}", chat_model=ScriptedChatModel([])
    ) as engine:
        gains = {
            language: _gain(engine, data / "xquad" / f"{language}.jsonl", questions)
            for language in _LANGUAGES[: effort.of(full=12, short=2)]
        }
        for language, gain in gains.items():
            yield _row(f"XQuAD {language}, keywords", gain)
        yield _row(
            f"XQuAD, mean of {len(gains)} languages", fmean(gains.values()), _MEAN
        )
        yield _row("XQuAD, the worst language", min(gains.values()), _WORST)
        for chunking, budget in ((Chunking(), _FIRST_FIVE), (Chunking(400, 0), None)):
            yield Row(
                "retrieval_quality",
                f"passages in the first 5 chunks, {chunking.size}/{chunking.overlap}",
                100 * _brought_back(engine, data / "chunk_eval", chunking, questions),
                "%",
                budget=budget,
            )


def _row(what: str, gain: float, budget: Budget | None = None) -> Row:
    return Row("retrieval_quality", what, gain, "nDCG@10", budget=budget)


def _gain(engine: AssistantsEngine, path: Path, questions: int) -> float:
    """Return the mean nDCG@10 of questions with one right paragraph each."""
    paragraphs = _lines(path)
    shelf = Shelf(engine)
    shelf.add(
        [
            StoredChunk(number, 0, 0, None, 0, paragraph["text"])
            for number, paragraph in enumerate(paragraphs)
        ]
    )
    asked = [
        (number, question)
        for number, paragraph in enumerate(paragraphs)
        for question in paragraph["questions"]
    ]
    gains = []
    for number, question in asked[:questions]:
        found = engine.vector_stores.search(shelf.id, query=question).data
        places = [place for place, one in enumerate(found) if one.chunk_index == number]
        gains.append(1 / math.log2(places[0] + 2) if places else 0.0)
    return fmean(gains)


def _brought_back(
    engine: AssistantsEngine, folder: Path, chunking: Chunking, questions: int
) -> float:
    """Return the mean share of the right passages in the first five chunks."""
    by_corpus: dict[str, list[Question]] = {}
    for line in _lines(folder / "questions.jsonl"):
        question = Question(line["question"], line["refs"])
        by_corpus.setdefault(line["corpus"], []).append(question)
    shares: list[float] = []
    for corpus, asked in by_corpus.items():
        text = (folder / f"{corpus}.md").read_text(encoding="utf-8")
        shelf = Shelf(engine)
        shelf.add(
            [
                StoredChunk(
                    one.index,
                    one.start,
                    one.end,
                    None,
                    one.tokens,
                    text[one.start : one.end],
                )
                for one in chunk(text, None, chunking, estimate)
            ]
        )
        for question in asked[:questions]:
            found = engine.vector_stores.search(
                shelf.id, query=question.text, max_num_results=5
            )
            read = {
                place
                for one in found.data
                for place in range(one.start or 0, one.end or 0)
            }
            wanted = {place for span in question.spans for place in range(*span)}
            shares.append(len(wanted & read) / len(wanted))
    return fmean(shares)


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
