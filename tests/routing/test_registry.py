"""The registry: who is attached, who waits, what was handed to whom, who gives way. Read next: the model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longlink import errors
from longlink.routing.ids import COUNTERS
from longlink.routing.registry import Entered, Loser
from longlink.routing.sessions import Arrival, Session

from .crowd import EAST, WEST, Hall, on, session


def lost(entered: Entered) -> list[Session]:
    return [loser.session for loser in entered.losers]


def came_back(link: Session, received: int, *, missed: bool = False, background: bool = False) -> Arrival:
    """With the key to this link, after so many events of it; missed: what the client was told."""
    return Arrival(background, link.link, received, missed)


# Coming and going -----------------------------------------------------------------------------------------------------


def test_the_newest_session_of_a_device_replaces_the_one_before() -> None:
    hall = Hall()
    first, second, other = session(1), session(2), session(3, "tab")
    assert hall.sessions.add(first) == Entered([])
    assert hall.sessions.add(other) == Entered([])
    why = "device 'phone' connected again"
    assert hall.sessions.add(second) == Entered([Loser(first, errors.REPLACED, why)])
    assert hall.attached("alice") == [other, second]
    assert hall.counts.sessions_replaced == 1
    assert hall.sessions.resume(on(first, 9), first.link, 0) is None


def test_the_end_of_a_replaced_session_leaves_the_one_that_replaced_it() -> None:
    hall = Hall()
    first, second = session(1), session(2)
    for one in (first, second):
        hall.sessions.add(one)
    hall.sessions.remove(first)
    assert hall.attached("alice") == [second]
    for _ in range(2):
        hall.sessions.remove(second)
    assert (hall.attached("alice"), hall.waiting("alice")) == ([], ["phone"])


def test_the_same_link_again_changes_nothing() -> None:
    hall = Hall(per_user=2)
    first, second = session(1), session(2, "tab")
    for one in (first, second, first, second):
        assert hall.sessions.add(one) == Entered([])
    assert hall.attached("alice") == [first, second]
    assert hall.sessions.count == 2


def test_users_who_are_not_there_are_reached_nowhere_and_others_together() -> None:
    hall = Hall()
    alice, bob, carol = (session(number, user=user) for number, user in enumerate(("alice", "bob", "carol"), 1))
    for one in (alice, bob, carol):
        hall.sessions.add(one)
    assert hall.reach("alice", "nobody", "carol") == [alice, carol]
    assert hall.reach("alice", "bob", besides=alice.link) == [bob]


# Coming back ----------------------------------------------------------------------------------------------------------


def test_who_got_everything_and_comes_back_has_missed_nothing() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    for _ in range(300):
        assert hall.reach("alice") == [first]
    hall.sessions.remove(first)
    second = on(first, 2, WEST)
    assert hall.sessions.resume(second, first.link, 300) is False
    assert hall.sessions.add(second, came_back(first, 300)) == Entered([])
    assert hall.reach("alice") == [second]
    third = on(first, 3)
    assert hall.sessions.resume(third, second.link, 1) is False, "the count begins anew with each link"
    assert hall.counts.takeovers == 0


@pytest.mark.parametrize("received", [0, 1, 3])
def test_who_got_another_number_of_events_than_were_handed_out_has_missed_something(received: int) -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    hall.reach("alice")
    hall.reach("alice")
    assert hall.sessions.resume(on(first, 2), first.link, received) is True


def test_an_event_for_who_waits_is_missed_unless_he_caused_it() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    hall.sessions.remove(first)
    assert hall.reach("alice", besides=first.link) == []
    assert hall.sessions.resume(on(first, 2), first.link, 0) is False
    assert hall.reach("alice") == []
    assert hall.sessions.resume(on(first, 2), first.link, 0) is True


def test_who_never_heard_that_he_was_back_and_shows_the_older_key_has_missed_something() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    hall.sessions.add(on(first, 2), came_back(first, 0))
    assert hall.sessions.resume(on(first, 3), first.link, 0) is True


def test_the_key_of_the_link_and_the_one_that_began_it_are_good_and_older_ones_are_not() -> None:
    hall = Hall()
    first = session(1)
    links = [first, *(on(first, number) for number in range(2, 6))]
    hall.sessions.add(first)
    assert not hall.sessions.is_reused(first, first.link)
    for old, new in pairwise(links):
        hall.sessions.add(new, came_back(old, 0))
        good = [link for link in links if not hall.sessions.is_reused(first, link.link)]
        assert good == links[links.index(old) :], "those that are newer have not been announced yet"


def test_answers_that_are_lost_again_and_again_leave_the_same_key_good() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    for number in range(2, 9):
        assert not hall.sessions.is_reused(first, first.link)
        hall.sessions.add(on(first, number), came_back(first, 0))
    assert hall.sessions.is_reused(first, on(first, 7).link), "one that its client never got, or a thief did"


def test_a_key_that_is_older_than_its_number_says_is_not_taken_for_a_newer_one() -> None:
    """Counters begin again after 24 days, and keys may be good for longer."""
    hall = Hall()
    first = session(COUNTERS - 5)
    later = [on(first, number) for number in (10, 20, 30)]
    hall.sessions.add(first)
    for old, new in pairwise([first, *later]):
        hall.sessions.add(new, came_back(old, 0))
    assert hall.sessions.is_reused(first, first.link)
    assert hall.sessions.is_reused(first, on(first, 30 + COUNTERS // 4).link)


def test_a_registry_that_is_younger_than_a_link_takes_any_key_of_it_once() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.restore(on(first, 5))
    assert not hall.sessions.is_reused(first, first.link)
    hall.sessions.add(on(first, 6), came_back(on(first, 5), 0))
    assert hall.sessions.is_reused(first, first.link)


def test_an_event_between_the_answer_and_the_link_is_told_and_remembered_until_the_next_link() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    second = on(first, 2)
    assert hall.sessions.resume(second, first.link, 0) is False
    assert hall.reach("alice") == [first]
    entered = hall.sessions.add(second, came_back(first, 0))
    assert (lost(entered), entered.missed) == ([first], True)
    third = on(first, 3)
    assert hall.sessions.resume(third, second.link, 0) is True, "nobody knows whether he has heard of it"
    assert hall.sessions.add(third, came_back(second, 0, missed=True)).missed is False
    assert hall.sessions.resume(on(first, 4), third.link, 0) is False


def test_a_link_that_is_still_there_gives_way_to_the_one_that_resumes_its_session() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    second = on(first, 2, WEST)
    (loser,) = hall.sessions.add(second, came_back(first, 0)).losers
    assert (loser.session, loser.row) == (first, errors.RESUMED)
    assert hall.counts.takeovers == 1
    hall.sessions.remove(first)
    assert hall.attached("alice") == [second]


def test_a_late_attempt_does_not_take_over_from_a_newer_one_but_one_that_knows_its_key_does() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    newer, late = on(first, 9, WEST), on(first, 5)
    hall.sessions.add(newer, came_back(first, 0))
    (loser,) = hall.sessions.add(late, came_back(first, 0)).losers
    assert (loser.session, loser.row) == (late, errors.RESUMED)
    assert hall.attached("alice") == [newer]
    clock_was_set_back = on(first, 3)
    assert lost(hall.sessions.add(clock_was_set_back, came_back(newer, 0))) == [newer]
    assert hall.attached("alice") == [clock_was_set_back]


def test_a_session_that_ended_while_it_was_resumed_is_not_there_again() -> None:
    hall = Hall()
    first, other = session(1), session(2, "tab")
    for one in (first, other):
        hall.sessions.add(one)
    hall.sessions.end("alice", lambda each: each.id == first.id)
    (loser,) = hall.sessions.add(on(first, 3), came_back(first, 0)).losers
    assert (loser.session, loser.row) == (on(first, 3), errors.SESSION_UNKNOWN)
    hall.sessions.add(session(4))
    (loser,) = hall.sessions.add(on(first, 5), came_back(first, 0)).losers
    assert (loser.session, loser.row) == (on(first, 5), errors.REPLACED)
    assert hall.attached("alice") == [other, session(4)]


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_session_waits_as_long_as_is_set_and_not_longer() -> None:
    hall = Hall(detached_ms=5_000)
    first = session(1)
    hall.sessions.add(first)
    hall.sessions.remove(first)
    assert (hall.counts.sessions_attached, hall.counts.sessions_detached) == (0, 1)
    assert hall.sessions.expire(10) == 5
    hall.clock.now_s += 4.999
    assert hall.sessions.resume(on(first, 2), first.link, 0) is False
    hall.clock.now_s += 0.001
    assert hall.sessions.resume(on(first, 2), first.link, 0) is None
    assert (hall.counts.sessions_detached, hall.counts.sessions_expired) == (0, 1)
    assert hall.sessions.expire(10) is None


def test_those_who_waited_long_enough_end_some_at_a_time_the_longest_first() -> None:
    hall = Hall(detached_ms=5_000)
    there = [session(number, user=f"user-{number}") for number in range(1, 5)]
    for one in there:
        hall.sessions.add(one)
        hall.sessions.remove(one)
        hall.clock.now_s += 1
    hall.clock.now_s += 3
    assert hall.sessions.expire(2) == 0
    assert [bool(hall.waiting(one.user)) for one in there] == [False, False, True, True]
    assert hall.sessions.expire(2) == 1
    assert [bool(hall.waiting(one.user)) for one in there] == [False, False, False, True]


def test_without_a_wait_a_session_ends_with_its_link() -> None:
    hall = Hall(detached_ms=0)
    first = session(1)
    hall.sessions.add(first)
    hall.sessions.remove(first)
    assert hall.sessions.of("alice") == []
    assert (hall.counts.sessions_attached, hall.counts.sessions_detached) == (0, 0)


def test_of_more_than_may_wait_the_one_that_waits_longest_ends() -> None:
    hall = Hall(detached=2)
    there = [session(number, user=f"user-{number}") for number in range(1, 5)]
    for one in there:
        hall.sessions.add(one)
    for one in (there[2], there[0]):
        hall.sessions.remove(one)
    hall.sessions.add(on(there[2], 9), came_back(there[2], 0))
    hall.sessions.remove(on(there[2], 9))
    hall.sessions.remove(there[1])
    assert [hall.waiting(one.user) for one in there] == [[], ["phone"], ["phone"], []]
    assert (hall.counts.sessions_evicted, hall.counts.sessions_detached) == (1, 2)


def test_a_gateway_that_has_gone_leaves_its_sessions_waiting_and_what_they_lack_is_known() -> None:
    hall = Hall()
    here, there = session(1, "phone"), session(2, "tab", gateway=WEST)
    for one in (here, there):
        hall.sessions.add(one)
    assert set(hall.reach("alice")) == {here, there}
    for _ in hall.sessions.forget(EAST):
        pass
    assert (hall.attached("alice"), hall.waiting("alice")) == ([there], ["phone"])
    assert hall.sessions.resume(on(here, 3), here.link, 1) is False
    assert hall.sessions.resume(on(here, 3), here.link, 0) is True


# In the background ----------------------------------------------------------------------------------------------------


def test_the_background_hears_nothing_and_coming_back_from_it_tells_whether_something_was_left_out() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first, Arrival(background=True))
    assert hall.sessions.adjust(first, background=False) is False, "nothing was left out"
    hall.sessions.adjust(first, background=True)
    assert hall.reach("alice") == []
    assert hall.sessions.adjust(first, background=True) is False
    assert hall.sessions.adjust(first, background=False) is True
    assert hall.reach("alice") == [first]
    assert hall.sessions.resume(on(first, 2), first.link, 1) is True, "nobody knows whether he has heard of it"


def test_another_link_than_the_present_one_adjusts_nothing() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    hall.sessions.add(on(first, 2), came_back(first, 0))
    hall.sessions.adjust(first, background=True)
    assert hall.reach("alice") == [on(first, 2)]
    hall.sessions.remove(on(first, 2))
    hall.sessions.adjust(on(first, 2), background=False)
    assert hall.reach("alice") == []


# Who gives way --------------------------------------------------------------------------------------------------------


def test_a_user_with_too_many_devices_loses_the_oldest_and_no_other_user_does() -> None:
    hall = Hall(per_user=2)
    bob = session(9, user="bob")
    hall.sessions.add(bob)
    first, second, third = (session(number, f"device-{number}") for number in (1, 2, 3))
    assert [lost(hall.sessions.add(one)) for one in (first, second, third)] == [[], [], [first]]
    assert hall.attached("alice", "bob") == [second, third, bob]
    again = session(4, "device-2")
    assert lost(hall.sessions.add(again)) == [second]
    assert hall.attached("alice") == [third, again]


def test_one_that_waits_gives_way_before_one_that_is_there() -> None:
    hall = Hall(per_user=2)
    first, second, third = (session(number, f"device-{number}") for number in (1, 2, 3))
    for one in (first, second):
        hall.sessions.add(one)
    hall.sessions.remove(second)
    assert hall.sessions.add(third) == Entered([]), "nobody is connected who would have to be told"
    assert hall.attached("alice") == [first, third]
    assert (hall.waiting("alice"), hall.counts.sessions_replaced) == ([], 1)


def test_one_device_of_each_platform_may_be_there() -> None:
    hall = Hall(policy="platform")
    phone, tab, web = session(1, "phone", platform="ios"), session(2, "tab", platform="ios"), session(3, "web")
    hall.sessions.add(phone)
    hall.sessions.add(web)
    (loser,) = hall.sessions.add(tab).losers
    assert loser.session == phone
    assert loser.why == "device 'tab' connected, and a user may have one device of platform 'ios'"
    assert hall.attached("alice") == [web, tab]
    assert lost(hall.sessions.add(session(4, "other"))) == [web], "those that name none are of one platform"


def test_one_device_alone_may_be_there() -> None:
    hall = Hall(policy="one")
    hall.sessions.add(session(1, "phone", platform="ios"))
    (loser,) = hall.sessions.add(session(2, "tab", platform="web")).losers
    assert (loser.session, loser.row) == (session(1, "phone", platform="ios"), errors.REPLACED)
    assert loser.why == "device 'tab' connected, and a user may have one device"
    assert hall.attached("alice") == [session(2, "tab", platform="web")]


def test_a_session_that_is_resumed_makes_nobody_give_way() -> None:
    for policy in ("all", "platform", "one"):
        hall = Hall(policy=policy, per_user=1)
        first = session(1)
        hall.sessions.add(first)
        assert lost(hall.sessions.add(on(first, 2), came_back(first, 0))) == [first]
        assert hall.attached("alice") == [on(first, 2)]


# Announced again ------------------------------------------------------------------------------------------------------


def test_a_session_that_a_new_registry_hears_of_counts_as_having_missed_something() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.restore(first, Arrival(background=True))
    assert hall.reach("alice") == []
    assert hall.sessions.resume(on(first, 2), first.link, 0) is True


def test_a_link_that_is_announced_to_a_registry_that_knows_it_goes_on_as_it_was() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    hall.reach("alice")
    for _ in hall.sessions.forget(EAST):
        pass
    assert hall.sessions.restore(first) == Entered([])
    assert hall.attached("alice") == [first]
    assert hall.sessions.resume(on(first, 2), first.link, 1) is False


def test_of_two_links_of_a_session_that_are_announced_the_newer_stays() -> None:
    for one, other in ((1, 5), (5, 1)):
        hall = Hall()
        id_ = session(1)
        assert hall.sessions.restore(on(id_, one)) == Entered([])
        (loser,) = hall.sessions.restore(on(id_, other, WEST)).losers
        assert (loser.session.connection, loser.row) == (1, errors.RESUMED)
        assert [each.connection for each in hall.attached("alice")] == [5]


def test_a_newer_link_that_is_announced_without_its_key_counts_as_having_missed_something() -> None:
    hall = Hall()
    first = session(1)
    hall.sessions.add(first)
    second = on(first, 2)
    assert lost(hall.sessions.restore(second)) == [first]
    assert hall.sessions.resume(on(first, 3), second.link, 0) is True


@given(st.permutations(range(8)), st.integers(1, 4))
def test_in_whatever_order_sessions_are_announced_the_newest_of_each_device_stay_and_the_oldest_is_the_next_to_go(
    order: list[int], most: int
) -> None:
    hall = Hall(per_user=most)
    there = [session(number + 1, f"device-{number % most}") for number in range(8)]
    ended = [old for number in order for old in lost(hall.sessions.restore(there[number]))]
    newest = there[8 - most :]
    assert hall.attached("alice") == newest
    assert sorted(ended, key=lambda one: one.id) == there[: 8 - most], "each of the others is ended once"
    assert hall.sessions.count == most
    if most > 1:
        assert lost(hall.sessions.add(session(99, "another"))) == [newest[0]]


@given(st.permutations(range(6)), st.integers(1, 4), st.sampled_from(["all", "platform", "one"]))
def test_of_more_sessions_than_a_user_may_have_the_newest_stay_in_whatever_order_they_are_announced(
    order: list[int], most: int, policy: str
) -> None:
    hall = Hall(per_user=most, policy=policy)
    there = [session(number + 1, f"device-{number}", platform=f"of-{number}") for number in range(6)]
    ended = [old for number in order for old in lost(hall.sessions.restore(there[number]))]
    stay = 1 if policy == "one" else most
    assert hall.attached("alice") == there[6 - stay :]
    assert sorted(ended, key=lambda one: one.id) == there[: 6 - stay], "each of the others is ended once"
    assert [old for one in there[6 - stay :] for old in lost(hall.sessions.restore(one))] == []
    assert all(one.id < other.id for one, other in pairwise(hall.attached("alice")))
