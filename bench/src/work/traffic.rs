//! A measured stretch of time, and what was seen in it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

use clap::Args;

use super::Bench;
use crate::{
    latency::Latencies,
    message::Answer,
    order::Faults,
    record::{Better, Record},
    servers::{CpuClock, CpuTime},
};

/// How often one looks whether everything has arrived.
const LOOK: Duration = Duration::from_millis(20);

/// For how long is sent, and waited for.
#[derive(Debug, Clone, Args)]
pub struct Times {
    /// For how long is sent before anything is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub warm_up: f64,
    /// For how long is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub seconds: f64,
    /// For how long nothing may arrive at the end before what is under way counts as lost, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub patience: f64,
}

/// What the senders and receivers of a work share.
#[derive(Debug)]
pub struct Traffic {
    begins: Instant,
    ends: Instant,
    sending: Cell<bool>,
    /// Deliveries within the stretch.
    measured: Cell<u64>,
    /// Deliveries altogether.
    delivered: Cell<u64>,
    acknowledged: Cell<u64>,
    latencies: RefCell<Latencies>,
    /// How late messages left, where they had a time.
    lateness: RefCell<Latencies>,
    wrong: RefCell<BTreeMap<String, u64>>,
}

/// What one stretch of time was like.
#[derive(Debug)]
pub struct Stretch {
    /// How long it was in truth.
    pub seconds: f64,
    /// What it took.
    pub used: CpuTime,
}

impl Traffic {
    /// From now on; measured is after the warm-up.
    #[must_use]
    pub fn new(times: &Times) -> Self {
        let begins = Instant::now() + Duration::from_secs_f64(times.warm_up);
        Self {
            begins,
            ends: begins + Duration::from_secs_f64(times.seconds),
            sending: Cell::new(true),
            measured: Cell::new(0),
            delivered: Cell::new(0),
            acknowledged: Cell::new(0),
            latencies: RefCell::default(),
            lateness: RefCell::default(),
            wrong: RefCell::default(),
        }
    }

    /// Whether more is to be sent.
    #[must_use]
    pub fn sending(&self) -> bool {
        self.sending.get()
    }

    fn measures(&self, moment: Instant) -> bool {
        (self.begins..self.ends).contains(&moment)
    }

    /// A message has left that was due at this time.
    pub fn sent_late(&self, due: Instant, now: Instant) {
        if self.measures(due) {
            self.lateness.borrow_mut().add(now - due);
        }
    }

    /// A message has arrived for the first time at one receiver; latencies count for what was due within the stretch.
    pub fn landed(&self, due: Instant, now: Instant) {
        self.delivered.set(self.delivered.get() + 1);
        if self.measures(now) {
            self.measured.set(self.measured.get() + 1);
        }
        if self.measures(due) {
            self.latencies.borrow_mut().add(now.saturating_duration_since(due));
        }
    }

    /// The acknowledgement of one message.
    pub fn answered(&self, arguments: &[u8]) {
        match Answer::read(arguments) {
            Ok(answer) => match answer.refusal() {
                None => self.acknowledged.set(self.acknowledged.get() + 1),
                Some(code) => self.wrong(&format!("sends refused as {code}")),
            },
            Err(_) => self.wrong("unreadable acknowledgements"),
        }
    }

    /// Counts something that should not be.
    pub fn wrong(&self, what: &str) {
        *self.wrong.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    /// Waits for the stretch to begin and to end, then lets the sending end.
    ///
    /// # Errors
    /// A process of the server is gone.
    pub async fn measure(&self, bench: &Bench) -> anyhow::Result<Stretch> {
        bench.say("warming up");
        tokio::time::sleep_until(self.begins.into()).await;
        let clock = CpuClock::start(&bench.servers)?;
        let began = Instant::now();
        bench.say("measuring");
        tokio::time::sleep_until(self.ends.into()).await;
        let used = clock.used(&bench.servers)?;
        let seconds = began.elapsed().as_secs_f64();
        self.sending.set(false);
        bench.say(&format!("measured {} deliveries; waiting for the rest", self.measured.get()));
        Ok(Stretch { seconds, used })
    }

    /// Waits until this many were acknowledged and delivered, or until nothing comes any more.
    pub async fn drain(&self, sent: u64, deliveries: u64, times: &Times) {
        let mut last = (0, Instant::now());
        loop {
            let refused: u64 = self.wrong.borrow().values().sum();
            let came = self.acknowledged.get() + self.delivered.get();
            if self.acknowledged.get() + refused >= sent && self.delivered.get() + refused >= deliveries {
                return;
            }
            if came != last.0 {
                last = (came, Instant::now());
            } else if last.1.elapsed().as_secs_f64() > times.patience {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Adds the figures of the stretch, and all that went wrong from the beginning on.
    pub fn report(&self, record: &mut Record, unit: &str, stretch: &Stretch, sent: u64, faults: Faults) {
        let measured = self.measured.get();
        record.figure(Better::More, &format!("{unit} per CPU second"), stretch.used.rate(measured));
        record.figure(Better::More, &format!("{unit} per second"), measured as f64 / stretch.seconds);
        let latencies = self.latencies.borrow();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            record.figure(
                Better::Less,
                &format!("latency {name}, ms"),
                (latencies.count() > 0).then(|| latencies.quantile_ms(share)),
            );
        }
        let lateness = self.lateness.borrow();
        let late = (lateness.count() > 0).then(|| lateness.quantile_ms(0.99));
        record.figure(Better::Neither, "of it the generator's own lateness p99, ms", late);
        record.cpu_time(&stretch.used, stretch.seconds);
        record.figure(Better::Neither, "sent and checked", sent as f64);

        if measured == 0 {
            record.fault("nothing was delivered in the measured time");
        }
        for (count, what) in [
            (faults.lost, "lost"),
            (faults.repeated, "repeated"),
            (faults.reordered, "out of order"),
            (faults.seq_jumps, "jumps of seq"),
            (sent.saturating_sub(self.acknowledged.get()), "sends without an acknowledgement that says ok"),
        ] {
            if count > 0 {
                record.fault(format!("{count} {what}"));
            }
        }
        for (what, count) in self.wrong.borrow().iter() {
            record.fault(format!("{count} {what}"));
        }
    }
}
