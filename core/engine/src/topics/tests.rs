//! Members come and go while rounds walk: whoever stays is met once, whatever the others do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SLOTS: usize = 12;

struct Scene {
    topics: Topics,
    heads: Vec<u32>,
}

impl Scene {
    fn new() -> Self {
        Self { topics: Topics::new(), heads: vec![NONE; SLOTS] }
    }

    fn subscribe(&mut self, slot: usize, number: u64) -> usize {
        self.topics.subscribe(&mut self.heads[slot], index(slot), number)
    }

    fn unsubscribe(&mut self, slot: usize, number: u64) -> usize {
        self.topics.unsubscribe(&mut self.heads[slot], number)
    }

    fn members(&self, number: u64) -> Vec<u32> {
        let topic = self.topics.find(number).map(|topic| &self.topics.list[topic as usize]);
        let mut slots: Vec<_> = topic.into_iter().flat_map(|topic| &topic.members.list).map(|one| one.slot).collect();
        slots.sort_unstable();
        slots
    }

    /// Visit up to so many members of a topic whose round has begun.
    fn walk(&mut self, number: u64, steps: usize) -> Vec<usize> {
        let Some(topic) = self.topics.find(number) else { return Vec::new() };
        let (topic, _) = self.topics.get(topic);
        (0..steps).map_while(|_| topic.members.visit()).map(|slot| slot as usize).collect()
    }
}

#[test]
fn a_subscription_counts_once_and_a_topic_exists_while_it_has_members() {
    let mut scene = Scene::new();
    scene.subscribe(3, 7);
    scene.subscribe(3, 7);
    scene.subscribe(5, 7);
    scene.subscribe(3, 8);
    assert_eq!((scene.members(7), scene.members(8)), (vec![3, 5], vec![3]));
    assert_eq!((scene.topics.len(), scene.topics.subscriptions()), (2, 3));
    scene.unsubscribe(3, 7);
    scene.unsubscribe(3, 7);
    scene.unsubscribe(3, 9);
    assert_eq!(scene.members(7), vec![5]);
    scene.topics.leave_all(&mut scene.heads[5]);
    scene.topics.leave_all(&mut scene.heads[3]);
    assert_eq!((scene.topics.len(), scene.topics.subscriptions(), scene.topics.room), (0, 0, 0));
}

#[test]
fn the_work_of_finding_a_subscription_among_others_is_told() {
    let mut scene = Scene::new();
    let looked_at: usize = (1..=100).map(|number| scene.subscribe(3, number)).sum();
    assert_eq!(looked_at, 99 * 100 / 2);
    assert_eq!((scene.unsubscribe(3, 1), scene.unsubscribe(3, 1)), (100, 0));
}

#[test]
fn a_subscription_costs_about_24_bytes_and_rooms_are_given_back() {
    let mut topics = Topics::new();
    let mut heads = vec![NONE; 100_000];
    for (slot, head) in heads.iter_mut().enumerate() {
        topics.subscribe(head, index(slot), 1);
    }
    assert!(topics.bytes() <= 25 * heads.len(), "{}", topics.bytes());
    for head in heads.iter_mut().skip(10) {
        topics.leave_all(head);
    }
    assert!(topics.room <= SHORT_LIST, "{}", topics.room);
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize, u64),
    Unsubscribe(usize, u64),
    Leave(usize),
    Walk(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (slot, number) = (0..SLOTS, 1..4u64);
    prop_oneof![
        4 => (slot.clone(), number.clone()).prop_map(|(slot, number)| Step::Subscribe(slot, number)),
        3 => (slot.clone(), number.clone()).prop_map(|(slot, number)| Step::Unsubscribe(slot, number)),
        1 => slot.prop_map(Step::Leave),
        4 => (number, 1..4usize).prop_map(|(number, steps)| Step::Walk(number, steps)),
    ]
}

/// Who must get the round under way of one topic, who may, and who has got it.
#[derive(Default)]
struct Round {
    under_way: bool,
    stayed: Vec<usize>,
    began: Vec<usize>,
    visited: Vec<usize>,
}

impl Round {
    fn left(&mut self, slot: usize) {
        self.stayed.retain(|one| *one != slot);
    }

    /// The round is over.
    fn judge(&mut self) -> Result<(), TestCaseError> {
        self.visited.sort_unstable();
        let mut once = self.visited.clone();
        once.dedup();
        prop_assert_eq!(&once, &self.visited, "nobody is visited twice");
        prop_assert!(self.stayed.iter().all(|slot| once.contains(slot)), "{:?} of {:?}", once, self.stayed);
        prop_assert!(once.iter().all(|slot| self.began.contains(slot)), "{:?} of {:?}", once, self.began);
        *self = Self::default();
        Ok(())
    }
}

fn act(scene: &mut Scene, rounds: &mut [Round], step: &Step) -> Result<(), TestCaseError> {
    match *step {
        Step::Subscribe(slot, number) => _ = scene.subscribe(slot, number),
        Step::Unsubscribe(slot, number) => {
            scene.unsubscribe(slot, number);
            rounds[usize::try_from(number).unwrap_or(0)].left(slot);
        }
        Step::Leave(slot) => {
            scene.topics.leave_all(&mut scene.heads[slot]);
            for round in rounds {
                round.left(slot);
            }
        }
        Step::Walk(number, steps) => {
            let round = &mut rounds[usize::try_from(number).unwrap_or(0)];
            if !round.under_way {
                round.under_way = true;
                round.began = scene.members(number).into_iter().map(|slot| slot as usize).collect();
                round.stayed.clone_from(&round.began);
                if let Some(topic) = scene.topics.find(number) {
                    scene.topics.get(topic).0.members.begin_round();
                }
            }
            round.visited.extend(scene.walk(number, steps));
            if scene.topics.find(number).is_none_or(|topic| scene.topics.get(topic).0.members.are_visited()) {
                round.judge()?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_stays_for_a_whole_round_is_visited_once_and_nobody_twice(steps in vec(step(), 1..200)) {
        let mut scene = Scene::new();
        let mut rounds: Vec<Round> = (0..4).map(|_| Round::default()).collect();
        for step in steps {
            act(&mut scene, &mut rounds, &step)?;
        }
    }

    #[test]
    fn members_are_those_who_came_and_did_not_leave(steps in vec(step(), 1..200)) {
        let mut scene = Scene::new();
        let mut expected = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Subscribe(slot, number) => drop(expected.insert((number, slot))),
                Step::Unsubscribe(slot, number) => drop(expected.remove(&(number, slot))),
                Step::Leave(slot) => expected.retain(|(_, one)| *one != slot),
                Step::Walk(..) => {}
            }
            act(&mut scene, &mut (0..4).map(|_| Round::default()).collect::<Vec<_>>(), &step)?;
        }
        for number in 1..4 {
            let slots: Vec<_> = expected.iter().filter(|(one, _)| *one == number).map(|(_, slot)| index(*slot)).collect();
            prop_assert_eq!(scene.members(number), slots);
        }
        prop_assert_eq!(scene.topics.subscriptions(), expected.len());
    }
}
