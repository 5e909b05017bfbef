//! Who is subscribed to what on one I/O thread: dense member lists that a round can walk while members come and go.
//!
//! Knows slots and numbers only. A connection holds the head of a chain of its subscriptions, so one without any pays four
//! bytes; leaving a topic moves at most two members. Read next: `topics/rounds.rs` (what topics say), `topics/fanout.rs`.

pub(crate) mod blocks;
mod fanout;
mod rounds;

use std::collections::HashMap;
use std::mem;

use rounds::{Active, Rounds};

/// The end of a chain.
pub(crate) const NONE: u32 = u32::MAX;
/// Lists longer than this do not double, and give half of their room back when they fill a quarter of it.
const SHORT_LIST: usize = 64;

/// One connection's subscription to one topic.
#[derive(Clone, Copy)]
struct Link {
    topic: u32,
    /// Among the topic's members.
    place: u32,
    next: u32,
}

#[derive(Clone, Copy)]
struct Member {
    slot: u32,
    link: u32,
}

#[derive(Default)]
pub(crate) struct Members {
    list: Vec<Member>,
    /// So many at the front the round under way has still to visit; it goes from the back to the front.
    left: u32,
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Begin to visit those who are members now.
    pub(crate) fn begin_round(&mut self) {
        self.left = index(self.list.len());
    }

    /// The slot of the next member to visit.
    pub(crate) fn visit(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        Some(self.list[self.left as usize].slot)
    }

    pub(crate) fn are_visited(&self) -> bool {
        self.left == 0
    }

    /// Take one out. A gap among those still to be visited is filled with the last of them, so that a round neither skips
    /// nor meets anyone twice; the gap behind them with the last of all.
    fn remove(&mut self, place: u32, links: &mut [Link]) {
        let mut gap = place;
        if gap < self.left {
            self.left -= 1;
            self.fill(gap, self.left, links);
            gap = self.left;
        }
        self.fill(gap, index(self.list.len() - 1), links);
        self.list.pop();
        let room = self.list.capacity();
        if room > SHORT_LIST && self.list.len() <= room / 4 {
            self.list.shrink_to(room / 2);
        }
    }

    fn fill(&mut self, gap: u32, from: u32, links: &mut [Link]) {
        if gap == from {
            return;
        }
        let member = self.list[from as usize];
        self.list[gap as usize] = member;
        links[member.link as usize].place = gap;
    }
}

#[derive(Default)]
pub(crate) struct Topic {
    number: u64,
    pub(crate) members: Members,
    /// What it has to say, while it has.
    pub(crate) active: Option<Box<Active>>,
    /// When its last round began, in milliseconds; 0 for never.
    pub(crate) spoke: u64,
    /// The first alarm that is set for it; 0 for none.
    pub(crate) alarm: u64,
}

pub(crate) struct Topics {
    numbers: HashMap<u64, u32>,
    list: Vec<Topic>,
    /// Places in the list that are free.
    gaps: Vec<u32>,
    links: Vec<Link>,
    free_link: u32,
    subscriptions: usize,
    /// Members that all lists together have room for.
    room: usize,
    pub(crate) rounds: Rounds,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            list: Vec::new(),
            gaps: Vec::new(),
            links: Vec::new(),
            free_link: NONE,
            subscriptions: 0,
            room: 0,
            rounds: Rounds::default(),
        }
    }

    /// Topics that have members.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    pub(crate) fn bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<(u64, u32)>()
            + self.list.capacity() * size_of::<Topic>()
            + self.gaps.capacity() * size_of::<u32>()
            + self.links.capacity() * size_of::<Link>()
            + self.room * size_of::<Member>()
            + self.rounds.bytes()
    }

    pub(crate) fn find(&self, number: u64) -> Option<u32> {
        self.numbers.get(&number).copied()
    }

    pub(crate) fn get(&mut self, topic: u32) -> (&mut Topic, &mut Rounds) {
        (&mut self.list[topic as usize], &mut self.rounds)
    }

    /// `head` is the chain of the connection in that slot. A second subscription changes nothing. Gives how many others of
    /// the same connection were looked at.
    pub(crate) fn subscribe(&mut self, head: &mut u32, slot: u32, number: u64) -> usize {
        let topic = self.find(number).unwrap_or_else(|| self.open(number));
        let (found, looked_at) = self.search(*head, topic);
        if found.is_some() {
            return looked_at;
        }
        let place = index(self.list[topic as usize].members.len());
        let link = self.new_link(Link { topic, place, next: *head });
        *head = link;
        let list = &mut self.list[topic as usize].members.list;
        let room = list.capacity();
        push(list, Member { slot, link });
        self.room += list.capacity() - room;
        self.subscriptions += 1;
        looked_at
    }

    pub(crate) fn unsubscribe(&mut self, head: &mut u32, number: u64) -> usize {
        let Some(topic) = self.find(number) else { return 0 };
        let (found, looked_at) = self.search(*head, topic);
        let Some((before, link)) = found else { return looked_at };
        let next = self.links[link as usize].next;
        match self.links.get_mut(before as usize) {
            Some(before) => before.next = next,
            None => *head = next,
        }
        self.leave(link);
        looked_at
    }

    /// The connection goes.
    pub(crate) fn leave_all(&mut self, head: &mut u32) {
        while let Some(Link { next, .. }) = self.links.get(*head as usize).copied() {
            self.leave(mem::replace(head, next));
        }
    }

    /// The subscription to a topic with the one before it in the chain, and how many were looked at.
    fn search(&self, head: u32, topic: u32) -> (Option<(u32, u32)>, usize) {
        let (mut before, mut link, mut looked_at) = (NONE, head, 0);
        while let Some(found) = self.links.get(link as usize) {
            looked_at += 1;
            if found.topic == topic {
                return (Some((before, link)), looked_at);
            }
            (before, link) = (link, found.next);
        }
        (None, looked_at)
    }

    fn new_link(&mut self, fresh: Link) -> u32 {
        let link = self.free_link;
        if let Some(free) = self.links.get_mut(link as usize) {
            self.free_link = mem::replace(free, fresh).next;
            return link;
        }
        push(&mut self.links, fresh);
        index(self.links.len() - 1)
    }

    fn leave(&mut self, link: u32) {
        let Link { topic, place, .. } = self.links[link as usize];
        let members = &mut self.list[topic as usize].members;
        let room = members.list.capacity();
        members.remove(place, &mut self.links);
        self.room -= room - members.list.capacity();
        let empty = members.list.is_empty();
        self.links[link as usize].next = mem::replace(&mut self.free_link, link);
        self.subscriptions -= 1;
        if empty {
            self.close(topic);
        }
    }

    fn open(&mut self, number: u64) -> u32 {
        let fresh = Topic { number, ..Topic::default() };
        let topic = if let Some(topic) = self.gaps.pop() {
            self.list[topic as usize] = fresh;
            topic
        } else {
            self.list.push(fresh);
            index(self.list.len() - 1)
        };
        self.numbers.insert(number, topic);
        topic
    }

    /// Nobody is left; what there was to say is for nobody.
    fn close(&mut self, topic: u32) {
        let gone = mem::take(&mut self.list[topic as usize]);
        self.room -= gone.members.list.capacity();
        self.numbers.remove(&gone.number);
        self.gaps.push(topic);
        if let Some(active) = gone.active {
            self.rounds.retire(active);
        }
    }
}

/// A long list grows by a quarter, because doubling it would cost each subscription as much again.
fn push<T>(list: &mut Vec<T>, value: T) {
    if list.len() == list.capacity() && list.len() >= SHORT_LIST {
        list.reserve_exact(list.len() / 4);
    }
    list.push(value);
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}

#[cfg(test)]
mod tests;
