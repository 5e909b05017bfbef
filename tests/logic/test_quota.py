"""The quota of new conversations: a bucket per user that fills again. Read next: test_open_direct.py."""

from __future__ import annotations

import pytest

from longlink.logic import quota as module
from longlink.logic.quota import Quota


class _Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def _taken(quota: Quota, user: str, times: int) -> int:
    return sum(not quota.take(user) for _ in range(times))


def test_a_user_has_an_hours_worth_at_once_and_then_one_at_a_time() -> None:
    clock = _Clock()
    quota = Quota(60, (), clock)
    assert _taken(quota, "eve", 100) == 60
    assert quota.take("eve") == pytest.approx(60.0)
    clock.now_s += 60
    assert _taken(quota, "eve", 100) == 1
    clock.now_s += 86_400
    assert _taken(quota, "eve", 100) == 60


def test_one_user_takes_nothing_from_another() -> None:
    quota = Quota(2, (), _Clock())
    assert [_taken(quota, user, 5) for user in ("eve", "alice")] == [2, 2]


def test_a_token_that_was_not_needed_can_be_returned() -> None:
    quota = Quota(2, (), _Clock())
    for _ in range(50):
        assert not quota.take("eve")
        quota.give_back("eve")
    assert _taken(quota, "eve", 5) == 2


@pytest.mark.parametrize("quota", [Quota(0, (), _Clock()), Quota(1, ["eve"], _Clock())])
def test_there_may_be_no_limit_for_all_or_for_one(quota: Quota) -> None:
    assert _taken(quota, "eve", 1_000) == 1_000
    quota.give_back("eve")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USERS", 10)
    quota = Quota(1, (), _Clock())
    assert [_taken(quota, f"user-{number}", 2) for number in range(30)] == [1] * 30
    assert [_taken(quota, f"user-{number}", 1) for number in (29, 0)] == [0, 1]
