//! One user who sends to a group or a room, and its members.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Instant,
};

use super::{pair::unexpected, traffic::Traffic};
use crate::{
    link::Link,
    message::{self, Delivery, Recipient},
    order::{Faults, Order},
    packet::Packet,
};

/// How many events are remembered with what was read in them.
const REMEMBERED: usize = 64;

/// A group or a room with one sender.
#[derive(Debug)]
pub struct Fan {
    sender: Rc<Link>,
    from: String,
    to: Recipient,
    /// For each message: when it was sent, and how many members do not have it yet.
    messages: RefCell<Vec<(Instant, usize)>>,
    under_way: Cell<usize>,
    members: Vec<RefCell<Order>>,
    /// Members get the same bytes: what one was told needs no second reading. By the sender's count.
    remembered: RefCell<Vec<Remembered>>,
}

#[derive(Debug, Clone, Default)]
struct Remembered {
    event: Vec<u8>,
    number: u64,
    seq: Option<u64>,
}

impl Fan {
    /// From the user `from`, connected by `sender`, to a group or a room that has so many members beside the sender.
    #[must_use]
    pub fn new(sender: Rc<Link>, from: String, to: Recipient, members: usize) -> Self {
        Self {
            sender,
            from,
            to,
            messages: RefCell::default(),
            under_way: Cell::new(0),
            members: (0..members).map(|_| RefCell::default()).collect(),
            remembered: RefCell::new(vec![Remembered::default(); REMEMBERED]),
        }
    }

    /// Sends the next message.
    pub fn send(&self) {
        let mut messages = self.messages.borrow_mut();
        self.sender.emit("send", &message::send(&self.to, messages.len() as u64));
        messages.push((Instant::now(), self.members.len()));
        self.under_way.set(self.under_way.get() + 1);
    }

    /// What the sender is told.
    pub fn sender_heard(&self, traffic: &Traffic, packet: Packet<'_>) {
        match packet {
            Packet::Ack(_, arguments) => traffic.answered(arguments),
            Packet::Event(_, event) => unexpected(traffic, "senders", event),
            _ => {}
        }
    }

    /// What a member is told. A message that all members have makes room for the next one.
    pub fn member_heard(&self, traffic: &Traffic, member: usize, packet: Packet<'_>) {
        let Packet::Event(_, event) = packet else { return };
        let mut order = self.members[member].borrow_mut();
        let Some((number, seq)) = self.read(traffic, order.expected(), event) else { return };
        if !order.take(number, seq) {
            return;
        }
        let now = Instant::now();
        let mut messages = self.messages.borrow_mut();
        let place = usize::try_from(number).ok();
        let Some((sent, missing)) = place.and_then(|place| messages.get_mut(place)) else {
            return traffic.wrong("messages that nobody sent");
        };
        *missing -= 1;
        traffic.landed(*sent, now);
        if *missing == 0 {
            self.under_way.set(self.under_way.get() - 1);
            drop(messages);
            if traffic.sending() {
                self.send();
            }
        }
    }

    /// The sender's count and the server's number in an event. `expected` says where it may be remembered.
    fn read(&self, traffic: &Traffic, expected: u64, event: &[u8]) -> Option<(u64, Option<u64>)> {
        let mut remembered = self.remembered.borrow_mut();
        let known = &remembered[place(expected)];
        if known.event == event {
            return Some((known.number, known.seq));
        }
        match Delivery::read(event) {
            Ok(Some(delivery)) if delivery.from == self.from => {
                let number = delivery.body.n;
                remembered[place(number)] = Remembered { event: event.to_vec(), number, seq: delivery.seq };
                return Some((number, delivery.seq));
            }
            Ok(Some(_)) => traffic.wrong("messages of somebody else"),
            Ok(None) => unexpected(traffic, "members", event),
            Err(_) => traffic.wrong("unreadable messages"),
        }
        None
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.messages.borrow().len() as u64
    }

    /// What went wrong on the way to all members together.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let each = self.members.iter().map(|order| order.borrow().faults(self.sent()));
        each.fold(Faults::default(), std::ops::Add::add)
    }
}

fn place(number: u64) -> usize {
    (number % REMEMBERED as u64) as usize
}
