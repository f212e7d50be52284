//! Two users, of whom one sends to the other.

use std::{cell::RefCell, rc::Rc, time::Instant};

use super::traffic::Traffic;
use crate::{
    flight::Flight,
    link::Link,
    message::{self, Delivery, Recipient},
    order::{Faults, Order},
    packet::Packet,
};

/// A sender and a receiver.
#[derive(Debug)]
pub struct Pair {
    sender: Rc<Link>,
    from: String,
    to: Recipient,
    flight: RefCell<Flight>,
    order: RefCell<Order>,
}

impl Pair {
    /// From the user `from`, connected by `sender`, to the user `to`.
    #[must_use]
    pub fn new(sender: Rc<Link>, from: String, to: String) -> Self {
        Self { sender, from, to: Recipient::User(to), flight: RefCell::default(), order: RefCell::default() }
    }

    /// Sends the next message, which was due at this time.
    pub fn send(&self, due: Instant) {
        let number = self.flight.borrow_mut().start(due);
        self.sender.emit("send", &message::send(&self.to, number));
    }

    /// What the sender is told.
    pub fn sender_heard(&self, traffic: &Traffic, packet: Packet<'_>) {
        match packet {
            Packet::Ack(_, arguments) => traffic.answered(arguments),
            Packet::Event(_, event) => unexpected(traffic, "senders", event),
            _ => {}
        }
    }

    /// What the receiver is told. Where `keep` says so, a message that has arrived makes room for the next one.
    pub fn receiver_heard(&self, traffic: &Traffic, packet: Packet<'_>, keep: bool) {
        let Packet::Event(_, event) = packet else { return };
        let delivery = match Delivery::read(event) {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return unexpected(traffic, "receivers", event),
            Err(_) => return traffic.wrong("unreadable messages"),
        };
        if delivery.from != self.from {
            return traffic.wrong("messages of somebody else");
        }
        if !self.order.borrow_mut().take(delivery.body.n, delivery.seq) {
            return;
        }
        let now = Instant::now();
        let landed = self.flight.borrow_mut().land(delivery.body.n);
        let Some(due) = landed else { return traffic.wrong("messages that nobody sent") };
        traffic.landed(due, now);
        if keep && traffic.sending() {
            self.send(now);
        }
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.flight.borrow().sent()
    }

    /// What went wrong on the way.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.order.borrow().faults(self.sent())
    }
}

/// An event that a quiet cluster does not send; its name says what is wrong.
pub(super) fn unexpected(traffic: &Traffic, whom: &str, event: &[u8]) {
    let text = String::from_utf8_lossy(event);
    let name = text.split('"').nth(1).unwrap_or("?");
    traffic.wrong(&format!("events `{name}` to {whom}"));
}
