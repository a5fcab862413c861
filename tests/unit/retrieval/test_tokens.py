"""The token count: an estimate near cl100k's own, or its own where it is at hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiktoken

from langchain_assistants.retrieval import tokens
from langchain_assistants.retrieval.tokens import cache_folder, estimate, token_count

# What cl100k_base counts.
SAMPLES = {
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.": 17,
    "東京都は日本の首都であり、世界最大の都市の一つです。人口は約1400万人で、"
    "政治、経済、文化の中心地となっています。": 56,
    "서울특별시는 대한민국의 수도이자 최대 도시이다. 한강을 끼고 남북으로 펼쳐져 "
    "있으며 인구는 약 천만 명이다.": 65,
    "ירושלים היא עיר הבירה של מדינת ישראל והעיר הגדולה ביותר בישראל. היא נמצאת "
    "בהרי יהודה.": 78,
    "თბილისი საქართველოს დედაქალაქი და უდიდესი ქალაქია.": 94,
}


@pytest.fixture(autouse=True)
def forgotten() -> None:
    token_count.cache_clear()


@pytest.mark.parametrize("text", SAMPLES)
def test_an_estimate_is_near_in_every_script(text: str) -> None:
    assert estimate(text) == pytest.approx(SAMPLES[text], rel=0.25)


def test_an_estimate_is_a_sum() -> None:
    text = "".join(SAMPLES) + "\x00\U0010ffff\ud800"
    assert estimate(text) == sum(estimate(character) for character in text)


def test_without_a_cached_file_the_estimate_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert cache_folder() is None
    assert token_count() is estimate


def test_a_file_that_is_not_whole_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path))
    (tmp_path / tokens._CACHED_NAME).write_bytes(b"half")
    assert token_count() is estimate


def test_where_tiktoken_is_at_hand_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoding:
        def encode_ordinary(self, text: str) -> list[str]:
            return text.split()

    monkeypatch.setattr(tokens, "cache_folder", lambda: "somewhere")
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: Encoding())
    assert token_count()("three short words") == 3
    token_count.cache_clear()
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert token_count() is estimate
    token_count.cache_clear()
