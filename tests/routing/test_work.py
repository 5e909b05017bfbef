"""What one user may ask for, by a clock that the test owns."""

from __future__ import annotations

import pytest

from longlink import errors
from longlink.errors import LonglinkError
from longlink.protocol.frames import REQUESTS, Ack, Frame, Mark, ReadHistory, Sync
from longlink.routing import work
from longlink.routing.work import REFUSED, Accounts


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def take(accounts: Accounts, user: str, units: int = 1) -> float:
    """The wait in seconds that the refusal names; 0.0 if the request may be done."""
    try:
        accounts.take(user, units)
    except LonglinkError as refusal:
        if refusal.row is errors.RATE_LIMITED:
            return refusal.retry_after_ms / 1000
        raise
    return 0.0


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = Clock()
    accounts = Accounts(100, 300, clock)
    assert [take(accounts, "alice", 100) for _ in range(4)] == [0.0] * 4, "the last one overdraws the account"
    assert take(accounts, "alice", 100) == 1.0
    clock.s = 1.02
    assert take(accounts, "alice", 100) == 0.0
    assert take(accounts, "alice", 100) > 0


def test_a_long_rest_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    accounts = Accounts(1, 2, clock)
    clock.s = 1_000
    assert [take(accounts, "alice") for _ in range(3)] == [0.0] * 3
    assert take(accounts, "alice") == 1.0


def test_a_refusal_costs_little_but_not_nothing() -> None:
    clock = Clock()
    accounts = Accounts(10, 10, clock)
    assert take(accounts, "alice", 12) == 0.0
    assert take(accounts, "alice", 12) == pytest.approx(0.2, abs=0.0011)
    assert accounts.wait_s("alice") == pytest.approx(0.2 + REFUSED / 10)
    assert take(accounts, "alice", 0) == 0.0, "what is free is not refused"


def test_a_debt_is_never_longer_than_a_burst() -> None:
    accounts = Accounts(10, 50, Clock())
    for _ in range(10):
        accounts.charge("alice", 1_000_000)
    assert accounts.wait_s("alice") == 5.0


def test_a_charge_says_whether_the_account_was_overdrawn_before() -> None:
    accounts = Accounts(1, 2, Clock())
    assert [accounts.charge("alice", units) for units in (2, 1, 1)] == [0.0, 0.0, 1.0]


def test_users_do_not_share_an_account_and_rate_0_is_no_limit() -> None:
    clock = Clock()
    accounts = Accounts(1, 1, clock)
    assert [take(accounts, user, 2) for user in ("alice", "bob", "alice")] == [0.0, 0.0, 1.0]
    free = Accounts(0, 1, clock)
    assert [take(free, "alice", 1_000_000) for _ in range(3)] == [0.0] * 3
    assert len(free) == 0


def test_accounts_that_are_full_again_are_forgotten_and_no_other() -> None:
    clock = Clock()
    accounts = Accounts(1, 10, clock)
    accounts.charge("alice", 5)
    accounts.charge("bob", 1_000)
    clock.s = 19.0
    accounts.charge("carol", 1_000)
    assert accounts.wait_s("bob") == pytest.approx(0.0)
    clock.s = 21.0
    accounts.charge("dave", 1)
    clock.s = 30.0
    assert accounts.wait_s("carol") == pytest.approx(0.0)
    assert take(accounts, "carol", 1) == 0.0
    clock.s = 42.0
    accounts.charge("dave", 1)
    assert len(accounts) == 2, "carol and dave were charged in the last two bursts, alice and bob long before"


def test_the_table_is_bounded_and_keeps_who_was_charged_last() -> None:
    accounts = Accounts(1, 1, Clock(), users=4)
    for number in range(20):
        accounts.charge(f"user-{number}", 2)
        assert len(accounts) <= 6
    assert accounts.wait_s("user-19") > 0
    assert accounts.wait_s("user-0") == 0.0


def test_every_request_has_a_cost_and_the_dear_ones_cost_by_what_they_ask_for() -> None:
    for name in REQUESTS:
        assert work.cost(name, Frame(id=1)) >= 0
    marks = Ack(marks=[Mark(conversation="c", seq=1)] * 200)
    assert work.cost("ack", Frame(ack=marks)) > 50 * work.READ
    assert all(work.cost(name, Frame(id=1)) == 0 for name in work.FREE), "the process that reads them charges these"
    page, entry = Frame(read_history=ReadHistory(limit=200)), Frame(read_history=ReadHistory(limit=1))
    assert work.cost("read_history", page) > 10 * work.cost("read_history", entry)
    assert work.cost("sync", Frame(sync=Sync(limit=200))) > 3 * work.cost("sync", Frame(sync=Sync()))
    assert work.read_cost(65_536, text=True) > work.read_cost(100, text=True) > work.read_cost(100, text=False)
