//! What goes wrong meanwhile.

use super::Order;
use crate::campaign::draw::Draw;
use crate::kit::Fleet;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of one process, which starts again.
    Kill,
    /// One process stands still for seconds, and goes on.
    Stop,
    /// SIGKILL of Redis, which starts again on its data.
    RedisKill,
    /// Redis stands still for seconds.
    RedisFreeze,
    /// Redis loses everything.
    RedisWipe,
    /// The provider refuses a few creates for their rate.
    TooMany,
}

/// How long something stands still.
const STILL_MS: (u64, u64) = (1_500, 5_000);

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::RedisKill,
        Self::RedisFreeze,
        Self::RedisWipe,
        Self::TooMany,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::RedisKill => "redis-kill",
            Self::RedisFreeze => "redis-freeze",
            Self::RedisWipe => "redis-wipe",
            Self::TooMany => "too-many",
        }
    }

    /// Words with commas between them, or `all`.
    pub(super) fn list(words: &str) -> Result<Vec<Self>, String> {
        if words == "all" {
            return Ok(Self::ALL.to_vec());
        }
        let read = |word: &str| Self::ALL.into_iter().find(|fault| fault.word() == word);
        let known = || Self::ALL.map(Self::word).join(", ");
        let each = words.split(',').map(|word| {
            read(word).ok_or_else(|| format!("no fault is called {word:?}; there are {}", known()))
        });
        each.collect()
    }
}

/// Whoever plays the faults.
pub(super) struct Trouble<'a> {
    fleet: &'a Fleet,
    /// Name, program and environment of everybody who may be hit.
    victims: Vec<Victim>,
    draw: Draw,
    deck: Vec<Fault>,
    reply: Duration,
    pub(super) played: BTreeMap<&'static str, u32>,
    /// Whatever Redis holds is gone, and jobs have to be queued again.
    pub(super) wiped: bool,
}

/// A process that may be hit.
pub(super) struct Victim {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) env: Vec<(String, String)>,
}

impl Victim {
    pub(super) fn start(&self, fleet: &Fleet) {
        let env: Vec<(&str, &str)> =
            self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fleet.start_as(&self.name, self.role, &env);
    }
}

impl<'a> Trouble<'a> {
    pub(super) fn new(fleet: &'a Fleet, victims: Vec<Victim>, order: &Order) -> Self {
        let draw = Draw::new(order.seed, "limits");
        let (deck, played, reply) = (Vec::new(), BTreeMap::new(), order.reply);
        let trouble = Self { fleet, victims, draw, deck, reply, played, wiped: false };
        trouble.provider(Vec::new());
        trouble
    }

    /// What the provider does to creates, beside taking its time.
    fn provider(&self, mut rules: Vec<Value>) {
        if !self.reply.is_zero() {
            rules.push(json!({"kind": "delay_reply", "ms": self.reply.as_millis()}));
        }
        self.fleet.faults(&json!({"create": rules}));
    }

    /// Plays the next of `faults`: all of them in one order, then all in another.
    pub(super) fn next(&mut self, faults: &[Fault]) {
        if self.deck.is_empty() {
            self.deck = faults.to_vec();
            self.draw.shuffle(&mut self.deck);
        }
        let Some(fault) = self.deck.pop() else { return };
        *self.played.entry(fault.word()).or_default() += 1;
        match fault {
            Fault::Kill => {
                if let Some(victim) = self.draw.of(&self.victims) {
                    self.fleet.kill9(&victim.name);
                    victim.start(self.fleet);
                }
            }
            Fault::Stop => self.stop(),
            Fault::RedisKill => {
                self.fleet.redis().kill9();
                self.fleet.redis().restart().expect("it starts again on its data");
            }
            Fault::RedisFreeze => {
                self.fleet.redis().pause().expect("a signal");
                let still = self.still();
                pass(still);
                self.fleet.redis().resume().expect("a signal");
            }
            Fault::RedisWipe => {
                self.fleet.redis().command(&["FLUSHALL"]).expect("it answers");
                self.wiped = true;
            }
            Fault::TooMany => {
                let refused =
                    json!({"kind": "answer", "code": "AccountRateLimitExceeded", "times": 3});
                self.provider(vec![refused]);
            }
        }
    }

    fn still(&mut self) -> Duration {
        Duration::from_millis(self.draw.between(STILL_MS.0, STILL_MS.1))
    }

    fn stop(&mut self) {
        let still = self.still();
        let Some(victim) = self.draw.of(&self.victims) else { return };
        let process = self.fleet.role(&victim.name);
        process.signal("STOP").expect("a signal");
        pass(still);
        process.signal("CONT").expect("a signal");
    }
}

/// Lets time pass: the run lasts as long as was ordered.
pub(crate) fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        // sleeps: what is measured is what happens meanwhile.
        std::thread::sleep(left.min(Duration::from_millis(100)).max(Duration::from_millis(1)));
    }
}
