"""When to write a heartbeat, and when a link is dead."""

from longlink.client.liveness import Liveness, Verdict


def liveness(*, jitter: float = 0.0) -> Liveness:
    return Liveness(0.0, heartbeat_s=100.0, random=lambda: jitter, dead_after_s=15.0)


def test_silence_is_broken_between_half_and_nine_tenths_of_what_the_server_allows() -> None:
    early, late = liveness(jitter=0.0), liveness(jitter=1.0)
    assert (early.verdict(49.9), early.verdict(50.0)) == (Verdict.FINE, Verdict.HEARTBEAT)
    assert (late.verdict(89.9), late.verdict(90.0)) == (Verdict.FINE, Verdict.HEARTBEAT)


def test_writing_anything_puts_the_heartbeat_off() -> None:
    link = liveness()
    link.wrote(40.0)
    link.heard()
    assert link.verdict(89.0) is Verdict.FINE
    assert link.next_due() == 90.0


def test_a_link_that_answers_nothing_is_dead_after_the_deadline() -> None:
    link = liveness()
    link.wrote(10.0)
    assert (link.verdict(24.9), link.verdict(25.0)) == (Verdict.FINE, Verdict.DEAD)
    assert link.next_due() == 25.0


def test_the_deadline_counts_from_the_oldest_unanswered_write() -> None:
    link = liveness()
    link.wrote(10.0)
    link.wrote(20.0)
    assert link.verdict(25.0) is Verdict.DEAD


def test_any_byte_from_the_server_shows_that_the_link_lives() -> None:
    link = liveness()
    link.wrote(10.0)
    link.heard()
    assert link.verdict(49.0) is Verdict.FINE


def test_a_server_that_has_nothing_to_say_is_not_dead() -> None:
    assert liveness().verdict(49.0) is Verdict.FINE


def test_a_server_that_asks_for_heartbeats_without_pause_does_not_get_them() -> None:
    link = Liveness(0.0, heartbeat_s=0.0, random=lambda: 0.0)
    assert link.verdict(0.0) is Verdict.FINE
    assert link.next_due() > 0.0
