"""Which connections HTTP takes, with addresses and clocks of the test's own."""

from __future__ import annotations

from collections import Counter

import pytest

from longlink.access.http.places import LEAST_SHARE, SHARE, Places, bounded_address
from longlink.routing.rates import Rate


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Guest:
    def __init__(self, address: str, since: float | None = None, *, known: bool = False) -> None:
        self.address = address
        self.since = since
        self.known = known
        self.gone = False

    def idle_since(self) -> float | None:
        return self.since

    def give_way(self) -> None:
        self.gone = True


def places(most: int, share: int, *guests: Guest, rate: Rate | None = None) -> Places:
    rate = Rate(0, 1, float) if rate is None else rate
    made = Places(most, share, rate, Counter(), free=lambda address: address == "proxy")
    for guest in guests:
        assert made.admit(guest.address)
        made.add(guest)
    return made


def test_an_address_has_its_share_and_no_more_while_others_still_get_in() -> None:
    full = places(10, 2, Guest("a"), Guest("a"))
    assert not full.admit("a")
    assert full.admit("b")
    assert full.cuts == {"share": 1}


def test_without_a_setting_an_address_gets_an_eighth_and_eight_at_least() -> None:
    for most, share in ((512, 512 // SHARE), (16, LEAST_SHARE)):
        full = places(most, 0, *(Guest("a") for _ in range(share)))
        assert not full.admit("a")


def test_a_place_that_was_given_back_is_free_once() -> None:
    one, two = Guest("a"), Guest("a")
    full = places(10, 2, one, two)
    full.discard(one)
    full.discard(one)
    assert len(full) == 1
    assert full.admit("a")
    full.add(one)
    assert not full.admit("a")


def test_an_idle_connection_of_the_same_address_gives_way_first() -> None:
    busy, idle, other = Guest("a"), Guest("a", since=5.0), Guest("b", since=1.0)
    full = places(10, 2, busy, idle, other)
    assert full.admit("a")
    assert (busy.gone, idle.gone, other.gone) == (False, True, False)
    assert full.cuts == {"evicted": 1}


def test_strangers_give_way_first_then_who_has_most_then_who_is_idle_longest() -> None:
    known = Guest("a", since=1.0, known=True)
    few, many = Guest("b", since=2.0), [Guest("c", since=4.0), Guest("c", since=3.0)]
    full = places(4, 10, known, few, *many)
    order = [many[1], few, many[0], known]
    for guest in order:
        assert full.admit("d")
        full.add(Guest("d"))
        assert [each.gone for each in order] == [order.index(each) <= order.index(guest) for each in order]
    assert not full.admit("d"), "all that are left are busy"
    assert full.cuts == {"evicted": 4, "full": 1}


def test_a_proxy_has_neither_a_share_nor_a_rate_but_the_total_holds() -> None:
    full = places(3, 1, *(Guest("proxy") for _ in range(3)), rate=Rate(1, 1, Clock()))
    assert not full.admit("proxy")
    assert full.cuts == {"full": 1}


def test_an_address_connects_so_often_and_no_more() -> None:
    clock = Clock()
    made = places(100, 100, rate=Rate(2, 3, clock))
    assert [made.admit("a") for _ in range(4)] == [True, True, True, False]
    assert made.admit("b")
    clock.now_s += 0.5
    assert [made.admit("a") for _ in range(2)] == [True, False]
    assert made.cuts == {"rate": 2}


@pytest.mark.parametrize(
    ("host", "bounded"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_an_address_of_ipv6_is_its_first_64_bits(host: str, bounded: str) -> None:
    assert bounded_address(host) == bounded
