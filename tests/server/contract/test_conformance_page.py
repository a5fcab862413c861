"""docs/conformance.md says what is served, and all that OpenAI's document has is."""

from __future__ import annotations

from tests.server.contract import conformance
from tests.server.contract.document import read


def test_the_page_is_up_to_date() -> None:
    written = conformance.PAGE.read_text(encoding="utf-8")
    advice = "run `python -m tests.server.contract.conformance`"
    assert written == conformance.page(), advice


def test_nothing_of_the_original_is_missing() -> None:
    assert conformance.missing(read(), conformance.served()) == []
