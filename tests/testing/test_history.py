"""The books must accept what is true, and catch every kind of lie: a test of the tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longlink.testing import Device, Entry, History, Marks, ViolationError
from longlink.testing.facts import Fact

CHAT = "d_1"
DEVICES = ("alice/phone", "alice/tablet", "bob/phone", "bob/laptop")


@dataclass
class Story:
    """A run in which everything went well: two users with two devices each, in two conversations."""

    history: History = field(default_factory=History)
    log: dict[str, list[Entry]] = field(default_factory=dict)
    marks: dict[tuple[str, str], Marks] = field(default_factory=dict)

    def device(self, name: str) -> Device:
        return self.history.devices[name]

    def facts(self, device: str, what: str) -> list[int]:
        """Where such facts of a device about CHAT are."""
        found = enumerate(self.history.facts)
        return [n for n, fact in found if (fact.device, fact.what, fact.conversation) == (device, what, CHAT)]

    def change(self, place: int, **values: Any) -> None:
        self.history.facts[place] = self.history.facts[place]._replace(**values)

    def swap(self, first: int, second: int) -> None:
        facts = self.history.facts
        facts[first], facts[second] = facts[second], facts[first]


def true_story(seed: int, length: int = 40) -> Story:
    """Everybody sends; the devices see what is stored later or sooner, each at its own pace; marks rise."""
    lottery = random.Random(seed)
    story = Story()
    story.history.members = {CHAT: ("alice", "bob"), "d_2": ("bob",)}
    devices = [story.history.device(*name.split("/")) for name in DEVICES]
    seen = {(device.full, chat): 0 for device in devices for chat in (CHAT, "d_2")}
    for number in range(length):
        sender = lottery.choice(devices)
        chat = CHAT if sender.user == "alice" else lottery.choice((CHAT, CHAT, "d_2"))
        client_id = f"{sender.full}-{number}"
        sender.asked(chat, client_id, f"words {number}")
        log = story.log.setdefault(chat, [])
        log.append(Entry(len(log) + 1, sender.user, client_id, f"words {number}"))
        if lottery.random() < 0.9:
            sender.told(chat, client_id, len(log))
        for device in devices:
            if lottery.random() < 0.5:
                _look(story, device, chat, seen, lottery.randint(1, 5))
    for device in devices:
        for chat in (CHAT, "d_2") if device.user == "bob" else (CHAT,):
            _look(story, device, chat, seen, length)
            for user in {other.user for other in devices} & set(story.history.members[chat]):
                device.stands(chat, user, delivered=len(story.log.get(chat, ())))
    return story


def _look(story: Story, device: Device, chat: str, seen: dict[tuple[str, str], int], most: int) -> None:
    if device.user not in story.history.members[chat]:
        return
    for entry in story.log.get(chat, [])[seen[device.full, chat] :][:most]:
        seen[device.full, chat] = entry.seq
        if not entry.client_id.startswith(f"{device.full}-"):
            device.saw(chat, *entry)
    have = seen[device.full, chat]
    held = story.marks.get((chat, device.user), Marks())
    if have > held.delivered:
        story.marks[chat, device.user] = Marks(have, min(have, held.read))
        device.confirmed(chat, delivered=have)
        for other in story.history.devices.values():
            if other.user != device.user and other.user in story.history.members[chat]:
                other.heard(chat, device.user, delivered=have)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_true_story_is_accepted(seed: int) -> None:
    story = true_story(seed)
    story.history.check(story.log, story.marks)


# Planted bugs: what was changed in a true story, what it amounts to, and words of the report -----------------------


def a_push_is_skipped(story: Story) -> None:
    del story.history.facts[story.facts("bob/phone", "saw")[4]]


def the_last_push_never_comes(story: Story) -> None:
    del story.history.facts[story.facts("bob/phone", "saw")[-1]]


def the_first_push_never_comes(story: Story) -> None:
    del story.history.facts[story.facts("bob/phone", "saw")[0]]


def a_device_sees_nothing_at_all(story: Story) -> None:
    for place in sorted(story.facts("bob/laptop", "saw") + story.facts("bob/laptop", "confirmed"), reverse=True):
        del story.history.facts[place]


def a_push_comes_twice(story: Story) -> None:
    place = story.facts("bob/phone", "saw")[3]
    story.history.facts.insert(place, story.history.facts[place])


def an_old_push_comes_again_much_later(story: Story) -> None:
    places = story.facts("bob/phone", "saw")
    story.history.facts.insert(places[-1], story.history.facts[places[1]])


def two_pushes_change_places(story: Story) -> None:
    places = story.facts("bob/phone", "saw")
    story.swap(places[5], places[6])


def a_push_shows_other_words(story: Story) -> None:
    story.change(story.facts("alice/phone", "saw")[2], content="other words")


def a_push_names_another_sender(story: Story) -> None:
    place = story.facts("alice/phone", "saw")[2]
    story.change(place, sender="mallory")


def a_push_shows_what_was_never_stored(story: Story) -> None:
    story.device("bob/phone").saw(CHAT, 1_000, "alice", "ghost", "boo")


def an_acknowledged_message_is_not_stored(story: Story) -> None:
    client_id = story.history.facts[story.facts("alice/phone", "told")[-1]].client_id
    entries = [entry for entry in story.log[CHAT] if entry.client_id != client_id]
    story.log[CHAT] = [entry._replace(seq=seq) for seq, entry in enumerate(entries, 1)]


def a_message_is_stored_twice(story: Story) -> None:
    log = story.log[CHAT]
    log.append(log[4]._replace(seq=len(log) + 1))


def a_message_is_stored_that_nobody_sent(story: Story) -> None:
    log = story.log[CHAT]
    log.append(Entry(len(log) + 1, "alice", "ghost", "boo"))


def the_log_has_a_gap(story: Story) -> None:
    del story.log[CHAT][6]


def the_log_gives_a_seq_twice(story: Story) -> None:
    story.log[CHAT].insert(6, story.log[CHAT][5])


def the_log_is_in_another_order(story: Story) -> None:
    log = story.log[CHAT]
    log[3], log[4] = log[4], log[3]


def the_stored_words_are_others(story: Story) -> None:
    story.log[CHAT][7] = story.log[CHAT][7]._replace(content="other words")


def a_message_was_acknowledged_with_another_seq(story: Story) -> None:
    place = story.facts("alice/phone", "told")[1]
    story.change(place, seq=story.history.facts[place].seq + 1)


def a_repetition_was_acknowledged_with_another_seq(story: Story) -> None:
    fact = story.history.facts[story.facts("bob/phone", "told")[0]]
    story.device("bob/phone").told(CHAT, fact.client_id, fact.seq + 3)


def one_s_own_messages_are_stored_in_another_order(story: Story) -> None:
    places = story.facts("alice/phone", "asked")
    story.swap(places[0], places[1])


def a_confirmed_mark_goes_back(story: Story) -> None:
    places = story.facts("bob/phone", "confirmed")
    story.change(places[-1], seq=story.history.facts[places[0]].seq - 1)


def a_heard_mark_goes_back(story: Story) -> None:
    places = story.facts("alice/phone", "heard")
    story.swap(places[0], places[-1])


def a_mark_is_beyond_the_head(story: Story) -> None:
    story.device("alice/phone").heard(CHAT, "bob", delivered=len(story.log[CHAT]) + 1)


def a_confirmed_mark_is_forgotten(story: Story) -> None:
    story.marks[CHAT, "bob"] = Marks(story.marks[CHAT, "bob"].delivered - 1, 0)


def more_is_read_than_delivered(story: Story) -> None:
    delivered = story.marks[CHAT, "bob"].delivered
    story.marks[CHAT, "bob"] = Marks(delivered, delivered + 1)


def two_devices_believe_different_marks(story: Story) -> None:
    place = next(n for n in story.facts("bob/laptop", "stands") if story.history.facts[n].seq)
    story.change(place, seq=story.history.facts[place].seq - 1)


def all_devices_of_a_user_believe_an_old_mark(story: Story) -> None:
    for name in ("alice/phone", "alice/tablet"):
        for place in story.facts(name, "stands"):
            fact = story.history.facts[place]
            if fact.user == "bob" and fact.seq:
                story.change(place, seq=fact.seq - 1)


BUGS: list[tuple[Callable[[Story], None], str, str]] = [
    (a_push_is_skipped, "lost", "bob/phone in d_1 at seq .*expected seq .*, got"),
    (the_last_push_never_comes, "lost", "bob/phone in d_1 at seq .*it never saw seq"),
    (the_first_push_never_comes, "lost", "bob/phone in d_1 at seq .*expected seq .*, got"),
    (a_device_sees_nothing_at_all, "lost", "bob/laptop in d_1 at seq [12]: it never saw seq"),
    (a_push_comes_twice, "doubled", "bob/phone in d_1 at seq .*expected seq .*, got"),
    (an_old_push_comes_again_much_later, "doubled", "bob/phone in d_1 at seq .*expected seq .*, got"),
    (two_pushes_change_places, "reordered", "bob/phone in d_1 at seq .*expected seq .*, got"),
    (a_push_shows_other_words, "lost", "alice/phone in d_1.*expected seq .*words"),
    (a_push_names_another_sender, "lost", "alice/phone in d_1.*expected seq .* from (alice|bob),"),
    (a_push_shows_what_was_never_stored, "lost", "bob/phone in d_1 at seq 1000.*is not in the log"),
    (an_acknowledged_message_is_not_stored, "lost", "alice/phone in d_1.*it was acknowledged, and is not in the log"),
    (a_message_is_stored_twice, "doubled", "the server's log in d_1.*expected once, it is seq 5 already"),
    (a_message_is_stored_that_nobody_sent, "doubled", "nobody asked alice to send it"),
    (the_log_has_a_gap, "lost", "the server's log in d_1 at seq 8: expected seq 7, got 8"),
    (the_log_gives_a_seq_twice, "doubled", "the server's log in d_1 at seq 6: expected seq 7, got 6"),
    (the_log_is_in_another_order, "reordered|lost", "the server's log in d_1 at seq 5: expected seq 4, got 5"),
    (the_stored_words_are_others, "lost", "expected 'words .*', got 'other words'"),
    (a_message_was_acknowledged_with_another_seq, "reordered", "acknowledged as seq .*, and is seq"),
    (a_repetition_was_acknowledged_with_another_seq, "reordered", "acknowledged as seq .*, and is seq"),
    (one_s_own_messages_are_stored_in_another_order, "reordered", "alice/phone in d_1.*which was sent earlier"),
    (a_confirmed_mark_goes_back, "reordered", "bob/phone in d_1.*the mark was .* before, and went back to"),
    (a_heard_mark_goes_back, "reordered", "alice/phone in d_1.*the mark was .* before, and went back to"),
    (a_mark_is_beyond_the_head, "lost", "alice/phone in d_1.*the mark is beyond the head"),
    (a_confirmed_mark_is_forgotten, "lost", "the server has .* at the end"),
    (more_is_read_than_delivered, "lost", "expected read <= delivered <= head"),
    (all_devices_of_a_user_believe_an_old_mark, "lost", "alice/phone in d_1.*the server has .* at the end"),
    (two_devices_believe_different_marks, "lost", "believes .* of the delivered mark of"),
]


@pytest.mark.parametrize(("plant", "kind", "words"), BUGS, ids=[plant.__name__ for plant, _, _ in BUGS])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_bug_is_caught_and_named(plant: Callable[[Story], None], kind: str, words: str, seed: int) -> None:
    story = true_story(seed, 60)
    plant(story)
    with pytest.raises(ViolationError, match=words) as caught:
        story.history.check(story.log, story.marks)
    assert caught.value.kind in kind.split("|")


@given(st.integers(0, 2**32), st.randoms())
@settings(max_examples=60, deadline=None)
def test_no_fact_of_what_was_seen_can_be_taken_away(seed: int, lottery: random.Random) -> None:
    story = true_story(seed)
    facts = story.history.facts
    del facts[lottery.choice([n for n, fact in enumerate(facts) if fact.what == "saw"])]
    with pytest.raises(ViolationError):
        story.history.check(story.log, story.marks)


# What is no bug -----------------------------------------------------------------------------------------------------


def test_a_message_without_an_answer_may_be_stored_or_not() -> None:
    history = History()
    alice = history.device("alice", "phone")
    alice.asked(CHAT, "a", "one")
    history.check({CHAT: []})
    history.check({CHAT: [Entry(1, "alice", "a", "one")]})


def test_a_device_that_left_need_not_have_seen_everything_but_what_it_saw_counts() -> None:
    history = History({CHAT: ("alice",)})
    alice = history.device("alice", "phone")
    log = {CHAT: [Entry(seq, "bob", f"b{seq}", "x") for seq in range(1, 5)]}
    alice.saw(CHAT, *log[CHAT][0])
    alice.left()
    history.check(log)
    alice.saw(CHAT, *log[CHAT][2])
    with pytest.raises(ViolationError, match="expected seq 2, got 3"):
        history.check(log)


@pytest.mark.parametrize(("begins", "starts"), [(3, {}), (1, {CHAT: 3}), (None, {})])
def test_a_device_may_begin_later(begins: int | None, starts: dict[str, int]) -> None:
    history = History({CHAT: ("alice",)})
    alice = history.device("alice", "phone", begins=begins, starts=starts)
    log = {CHAT: [Entry(seq, "bob", f"b{seq}", "x") for seq in range(1, 5)]}
    alice.saw(CHAT, *log[CHAT][2])
    alice.saw(CHAT, *log[CHAT][3])
    history.check(log)


def test_one_s_own_message_may_be_shown_in_its_place() -> None:
    history = History()
    alice = history.device("alice", "phone")
    log = {CHAT: [Entry(seq, "alice", f"a{seq}", "x") for seq in range(1, 4)]}
    for entry in log[CHAT]:
        alice.asked(CHAT, entry.client_id, "x")
    alice.saw(CHAT, *log[CHAT][1])
    history.check(log)


def test_a_report_shows_what_the_device_wrote_around_it() -> None:
    story = true_story(1)
    a_push_comes_twice(story)
    with pytest.raises(ViolationError) as caught:
        story.history.check(story.log)
    lines = str(caught.value).splitlines()
    assert 4 <= len(lines) <= 8
    assert sum(line.startswith("    > #") for line in lines) == 1
    assert all("bob/phone" in line for line in lines)


def test_books_of_two_processes_are_one() -> None:
    story = true_story(4)
    first, second = History(dict(story.history.members)), History()
    for name, device in story.history.devices.items():
        (first if device.user == "alice" else second).devices[name] = device
    for fact in story.history.facts:
        (first if fact.device.startswith("alice") else second).facts.append(fact)
    first.add(second)
    first.check(story.log, story.marks)
    with pytest.raises(ValueError, match="both have bob/laptop, bob/phone"):
        first.add(second)
    with pytest.raises(ValueError, match="has a book already"):
        first.device("bob", "phone")


def test_a_fact_reads_as_a_sentence() -> None:
    assert str(Fact("bob/phone", "saw", CHAT, 3, "a-1", "alice", "hi")) == (
        "bob/phone saw seq 3, client_id a-1, from alice, 'hi'"
    )
