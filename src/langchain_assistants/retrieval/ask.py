"""What is searched for; it searches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """What is searched for, and how the results are ranked.

    Attributes:
        queries: Texts; a chunk counts by the one that it answers best.
        limit: How many chunks to return.
        filter: A checked attribute filter of the files.
        score_threshold: The least score of a result.
        text_weight: How much words count beside vectors.
        embedding_weight: How much vectors count beside words.
        rerank: Whether a reranker may change the order.
    """

    queries: Sequence[str]
    limit: int = 10
    filter: Mapping[str, Any] | None = None
    score_threshold: float = 0.0
    text_weight: float = 0.5
    embedding_weight: float = 0.5
    rerank: bool = True
