"""When to write a heartbeat, and when a link is dead."""

import pytest

from longlink.client.liveness import Liveness, Verdict
from longlink.client.prober import PROOF, Prober


def liveness(*, jitter: float = 0.0, prober: Prober | None = None, talks: bool = True) -> Liveness:
    prober = prober or Prober(good_s=100.0)
    return Liveness(0.0, agreed_s=400.0, prober=prober, random=lambda: jitter, dead_after_s=15.0, talks=talks)


def test_silence_is_broken_between_eight_tenths_of_the_interval_and_all_of_it() -> None:
    early, late = liveness(jitter=0.0), liveness(jitter=1.0)
    assert (early.verdict(79.9), early.verdict(80.0)) == (Verdict.FINE, Verdict.HEARTBEAT)
    assert (late.verdict(99.9), late.verdict(100.0)) == (Verdict.FINE, Verdict.HEARTBEAT)


def test_silence_is_never_longer_than_the_server_allows() -> None:
    link = Liveness(0.0, agreed_s=50.0, prober=Prober(good_s=100.0), random=lambda: 1.0)
    assert link.verdict(50.0) is Verdict.HEARTBEAT


def test_writing_anything_puts_the_heartbeat_off() -> None:
    link = liveness()
    link.wrote(40.0)
    link.heard(41.0)
    assert link.verdict(119.0) is Verdict.FINE
    assert link.next_due() == 120.0


def test_a_link_that_answers_nothing_is_tried_once_more_and_dead_after_the_deadline() -> None:
    link = liveness()
    link.wrote(10.0)
    assert link.verdict(17.4) is Verdict.FINE
    assert link.next_due() == 17.5
    assert link.verdict(17.5) is Verdict.HEARTBEAT
    link.tried(17.5)
    assert (link.verdict(24.9), link.verdict(25.0)) == (Verdict.FINE, Verdict.DEAD)
    assert link.next_due() == 25.0


def test_one_lost_heartbeat_does_not_end_the_link() -> None:
    link = liveness()
    link.tried(80.0)
    link.tried(87.5)
    link.heard(90.0)
    assert link.verdict(100.0) is Verdict.FINE


def test_the_deadline_counts_from_the_oldest_unanswered_write() -> None:
    link = liveness()
    link.wrote(10.0)
    link.wrote(20.0)
    assert link.verdict(25.0) is Verdict.DEAD


def test_any_byte_from_the_server_shows_that_the_link_lives() -> None:
    link = liveness()
    link.wrote(10.0)
    link.heard(11.0)
    assert link.verdict(49.0) is Verdict.FINE


def test_a_server_that_has_nothing_to_say_is_not_dead() -> None:
    assert liveness().verdict(79.0) is Verdict.FINE


def test_a_server_that_asks_for_heartbeats_without_pause_does_not_get_them() -> None:
    link = Liveness(0.0, agreed_s=0.0, prober=Prober(), random=lambda: 0.0)
    assert link.verdict(0.0) is Verdict.FINE
    assert link.next_due() > 0.0


def test_only_a_heartbeat_after_a_whole_silence_proves_the_interval() -> None:
    prober = Prober(good_s=100.0)
    link = liveness(prober=prober)
    now = 0.0
    for _ in range(PROOF):
        link.heard(now + 30.0)
        now += 80.0
        link.tried(now)
        link.heard(now)
    assert prober.interval_s == 100.0
    for _ in range(PROOF):
        now += 80.0
        link.tried(now)
        link.heard(now)
    assert prober.interval_s == 150.0


@pytest.mark.parametrize("probed", [True, False])
def test_a_link_that_ends_over_a_probe_says_so_to_the_prober(probed: bool) -> None:
    prober = Prober(good_s=100.0)
    for _ in range(PROOF):
        prober.answered()
    link = liveness(prober=prober)
    (link.tried if probed else link.wrote)(150.0)
    link.ended()
    assert prober.interval_s == (100.0 if probed else 150.0)


def test_a_link_on_which_only_the_server_speaks_is_dead_when_it_has_said_nothing() -> None:
    link = liveness(talks=False)
    link.wrote(1.0)
    assert link.verdict(14.9) is Verdict.FINE
    link.heard(14.9)
    assert (link.verdict(29.8), link.verdict(29.9)) == (Verdict.FINE, Verdict.DEAD)
    assert link.next_due() == 29.9
