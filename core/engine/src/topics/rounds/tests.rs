//! When blocks are due, what they hold, and what is left of them.

use super::*;
use crate::topics::blocks::Reader;

struct Scene {
    topics: Topics,
    bounds: Bounds,
    heads: Vec<u32>,
}

impl Scene {
    /// Topic 1 with so many members.
    fn new(members: u32) -> Self {
        let mut scene = Self { topics: Topics::new(), bounds: Bounds::new(1 << 20, 1 << 30), heads: Vec::new() };
        for slot in 0..members {
            scene.join(slot, 1);
        }
        scene
    }

    fn join(&mut self, slot: u32, number: u64) {
        self.heads.resize(self.heads.len().max(slot as usize + 1), NONE);
        self.topics.subscribe(&mut self.heads[slot as usize], slot, number);
    }

    fn leave(&mut self, slot: u32) {
        self.topics.leave_all(&mut self.heads[slot as usize]);
    }

    fn publish(&mut self, number: u64, payload: &[u8], window_ms: u32, now: u64) -> Result<(), (Verdict, usize)> {
        let what = Publication { payload, delivery: Delivery::Event, text: false, window_ms };
        self.topics.publish(number, &what, now, &self.bounds)
    }

    fn say(&mut self, payload: &[u8], window_ms: u32, now: u64) {
        assert_eq!(self.publish(1, payload, window_ms, now), Ok(()));
    }

    /// Walk the next slice; the slots visited, and what they get.
    fn walk(&mut self, most: usize, now: u64) -> Option<(Vec<u32>, Vec<u8>)> {
        self.topics.wake(now);
        let (index, _) = self.topics.next_round(now)?;
        let (topic, rounds) = self.topics.get(index);
        let slots = (0..most).map_while(|_| topic.members.visit()).collect();
        let round = &mut topic.active.as_mut().expect("in line").round;
        rounds.held += round.frame(Reader::Binary);
        let bytes = round.framed(Reader::Binary).bytes.clone();
        self.topics.pause_round(index, now);
        Some((slots, bytes))
    }

    fn is_silent(&self) -> bool {
        !self.topics.has_rounds() && self.topics.rounds.waiting == 0
    }
}

#[test]
fn a_lone_message_on_a_quiet_topic_is_due_at_once() {
    let mut scene = Scene::new(2);
    scene.say(b"a", 100, 1000);
    assert_eq!(scene.walk(9, 1000), Some((vec![1, 0], b"\x82\x01a".to_vec())));
    scene.say(b"b", 100, 1100);
    assert_eq!(scene.walk(9, 1100), Some((vec![1, 0], b"\x82\x01b".to_vec())));
    assert!(scene.is_silent());
}

#[test]
fn what_follows_within_the_window_gathers_until_its_end() {
    let mut scene = Scene::new(1);
    scene.say(b"a", 100, 1000);
    scene.walk(9, 1000);
    scene.say(b"b", 100, 1001);
    scene.say(b"c", 100, 1099);
    assert_eq!(scene.topics.rounds.next_alarm(), Some(1100));
    assert_eq!(scene.walk(9, 1099), None);
    assert_eq!(scene.walk(9, 1100), Some((vec![0], b"\x82\x01b\x82\x01c".to_vec())));
    assert!(scene.is_silent());
}

#[test]
fn a_message_that_cannot_wait_takes_along_what_has_gathered() {
    let mut scene = Scene::new(1);
    scene.say(b"a", 0, 1000);
    scene.walk(9, 1000);
    scene.say(b"b", 5000, 1001);
    scene.say(b"c", 0, 1002);
    assert_eq!(scene.walk(9, 1002), Some((vec![0], b"\x82\x01b\x82\x01c".to_vec())));
    assert_eq!(scene.walk(9, 9000), None, "the alarm finds nothing to do");
}

#[test]
fn a_topic_that_often_waits_and_never_long_sets_one_alarm() {
    let mut scene = Scene::new(1);
    for now in 1000..1100 {
        scene.say(b"a", 5000, now);
        scene.say(b"b", 0, now);
        scene.walk(9, now);
    }
    scene.say(b"c", 5000, 1100);
    let alarms = &mut scene.topics.rounds.alarms;
    assert_eq!(std::iter::from_fn(|| alarms.take(u64::MAX)).count(), 1);
}

#[test]
fn a_heavy_block_does_not_wait_for_its_window() {
    let mut scene = Scene::new(1);
    scene.say(b"a", 0, 1000);
    scene.walk(9, 1000);
    scene.say(&[0; HEAVY - 100], 5000, 1001);
    assert_eq!(scene.walk(9, 1001), None);
    scene.say(&[0; 100], 5000, 1002);
    assert!(scene.walk(9, 1002).is_some());
}

#[test]
fn what_comes_during_a_round_waits_for_the_next_and_rounds_of_topics_take_turns() {
    let mut scene = Scene::new(3);
    scene.join(7, 2);
    scene.say(b"a", 0, 1000);
    assert_eq!(scene.walk(2, 1000), Some((vec![2, 1], b"\x82\x01a".to_vec())));
    scene.say(b"b", 0, 1001);
    assert_eq!(scene.publish(2, b"x", 0, 1001), Ok(()));
    assert_eq!(scene.walk(2, 1001), Some((vec![0], b"\x82\x01a".to_vec())));
    assert_eq!(scene.walk(2, 1001), Some((vec![7], b"\x82\x01x".to_vec())));
    assert_eq!(scene.walk(9, 1001), Some((vec![2, 1, 0], b"\x82\x01b".to_vec())));
    assert!(scene.is_silent());
}

#[test]
fn what_has_no_room_is_refused_for_every_member_and_events_are_remembered() {
    let mut scene = Scene::new(3);
    scene.bounds = Bounds::new(1024, 1 << 20);
    scene.say(&[0; 400], 0, 1000);
    assert_eq!(scene.publish(1, &[0; 400], 0, 1000), Err((Verdict::Full, 3)));
    let (index, _) = scene.topics.next_round(1000).expect("a round");
    let (topic, _) = scene.topics.get(index);
    assert_eq!(topic.active.as_ref().expect("active").round.missed(Reader::Any), 1);
}

#[test]
fn a_crowded_event_that_nothing_waits_with_is_told_nevertheless() {
    let mut scene = Scene::new(1);
    scene.bounds = Bounds::new(1024, 1024);
    scene.bounds.changed(0, 1000);
    assert_eq!(scene.publish(1, b"a", 0, 1000), Err((Verdict::Crowded, 1)));
    assert_eq!(scene.walk(9, 1000), Some((vec![0], Vec::new())));
    assert!(scene.is_silent());
}

#[test]
fn a_topic_that_goes_takes_its_messages_along_and_its_place_may_be_had_by_another() {
    let mut scene = Scene::new(2);
    scene.say(b"a", 0, 1000);
    scene.walk(1, 1000);
    scene.say(b"b", 50, 1001);
    scene.leave(0);
    scene.leave(1);
    assert_eq!(scene.topics.rounds.waiting, 0);
    assert_eq!(scene.publish(1, b"nobody", 0, 1002), Ok(()));
    scene.join(5, 9);
    assert_eq!(scene.walk(9, 2000), None);
    assert_eq!(scene.publish(9, b"x", 0, 2001), Ok(()));
    assert_eq!(scene.walk(9, 2001), Some((vec![5], b"\x82\x01x".to_vec())));
    assert!(scene.is_silent());
}

#[test]
fn memory_of_blocks_is_kept_small_and_counted() {
    let mut scene = Scene::new(1);
    for round in 1..100u64 {
        scene.say(&vec![0; 100_000], 0, round);
        scene.walk(9, round);
    }
    let kept = |scene: &Scene| scene.topics.rounds.spare.iter().map(|active| active.held_bytes()).sum::<usize>();
    assert_eq!(scene.topics.rounds.held, kept(&scene));
    assert!(kept(&scene) <= SPARE * SPARE_BYTES);
    scene.say(b"a", 0, 1000);
    scene.say(b"b", 0, 1000);
    scene.walk(9, 1000);
    assert_eq!(scene.topics.rounds.held, kept(&scene));
}
