"""The words for metrics against the real core and the real store."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from longlink.config import Config, Storage
from longlink.ops import catalogue, numbers
from longlink.parts import build_core
from longlink.storage.sqlite import open_store


def test_every_number_of_the_core_has_its_words_and_kind() -> None:
    core = build_core(Config())
    try:
        core.listen("127.0.0.1", 0)
        found, histograms = numbers.of_core(core), set(core.histograms())
        counters = set(core.counters())
    finally:
        core.stop()
    assert set(found["core"]) == set(catalogue.CORE)
    assert {*numbers.CORE_NAMES, *numbers.CORE_CLOSES} <= counters
    assert histograms == {name for name, metric in catalogue.CORE.items() if metric.kind == "histogram"}


def test_every_number_of_the_store_has_its_words_and_kind(tmp_path: Path) -> None:
    async def stats() -> dict[str, object]:
        store = await open_store(tmp_path, Storage(), now_ms=lambda: time.time_ns() // 1_000_000)
        try:
            return dict(store.stats())
        finally:
            await store.close()

    found = asyncio.run(stats())
    assert set(found) == set(catalogue.STORE)
    assert {name for name, value in found.items() if isinstance(value, tuple)} == {
        name for name, metric in catalogue.STORE.items() if metric.kind == "histogram"
    }


def test_meanings_are_sentences() -> None:
    for group in (catalogue.COUNTS, catalogue.CORE, catalogue.STORE, catalogue.PROCESS, catalogue.OTHER):
        for name, metric in group.items():
            assert metric.meaning.endswith("."), name
            assert not metric.meaning.startswith(("Of these", "Of those", "The same")), f"{name} stands alone in a tool"
            assert not name.startswith("core_"), name
