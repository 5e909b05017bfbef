"""The shares of a file limit: long links, HTTP and the rest fit it together."""

from __future__ import annotations

import resource

import pytest

from longlink.ops import files


@pytest.mark.parametrize("limit", [256, 1_024, 2_048, 4_096, 20_000, 1_100_000])
def test_the_shares_are_never_more_than_the_limit(limit: int) -> None:
    http, links = files.http_files(limit), files.link_files(limit)
    assert http + links + files.OTHER_FILES <= limit
    assert 1 <= http <= files.MOST_HTTP
    assert links >= 1


def test_a_high_limit_spares_the_same_for_everyone() -> None:
    assert files.link_files(100_000) == 100_000 - files.SPARE_FILES


def test_without_a_limit_only_our_own_bound_holds() -> None:
    assert files.http_files(resource.RLIM_INFINITY) == files.MOST_HTTP
    assert files.link_files(resource.RLIM_INFINITY) > 10_000_000
