//! The provider's limits change twice: lowered, and raised again, each announced as an operator would hear of it.
//!
//! Before the provider allows less, the operator says so to the fleet (`seedfleet limits set`), and the provider follows
//! when the fleet is there, so that it never has to refuse. Before the fleet may have more, the provider allows it.

use super::order::{LOOKAHEAD, Limits, Order};
use super::watch::Watch;
use crate::kit::Fleet;
use crate::limits::unix_ms;
use serde_json::json;

/// Instants that were given away before a limit was lowered are used up by then: `limits.lead_max` and
/// `limits.grant_horizon` of the kit, with the lateness that a slot may have.
const GIVEN_AWAY_MS: i64 = 900;

/// One in so many jobs is bought under the lower limit, at the least.
const LOWERED_PART: usize = 20;

/// Where the row of changes stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Nothing has changed.
    High,
    /// The fleet has been told; the provider still allows more.
    Announced,
    /// Both are lowered.
    Low,
    /// Both are as at first.
    Raised,
}

/// The changes, and the limits in force.
pub(super) struct Changes<'a> {
    fleet: &'a Fleet,
    order: &'a Order,
    stand: Stand,
    /// As many submitters as there may be were there once.
    was_full: bool,
    /// How often the limits in force have changed.
    pub(super) count: u32,
    /// Submitters there were at the least while limits were low.
    pub(super) submitters_min: Option<u32>,
    pub(super) wrong: Vec<String>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(fleet: &'a Fleet, order: &'a Order) -> Self {
        let wrong = Vec::new();
        let stand = Stand::High;
        Self { fleet, order, stand, was_full: false, count: 0, submitters_min: None, wrong }
    }

    /// What the fleet goes by.
    pub(super) fn in_force(&self) -> Limits {
        match self.stand {
            Stand::High | Stand::Raised => self.order.high(),
            Stand::Announced | Stand::Low => self.order.low(),
        }
    }

    /// Changes what is due, by what has been bought and how many submitters there are.
    pub(super) fn turn(&mut self, watch: &mut Watch, submitters: u32) {
        let Order { jobs, most, .. } = self.order;
        let low = self.order.low();
        self.was_full |= submitters == *most;
        match self.stand {
            Stand::High if self.was_full && watch.creates >= jobs / 5 => self.lower(watch),
            Stand::Announced | Stand::Low => {
                let least = self.submitters_min.map_or(submitters, |least| least.min(submitters));
                self.submitters_min = Some(least);
                let reached = watch.open() <= (low.running + LOOKAHEAD) as usize;
                let bought = watch.lowered_creates() >= jobs / LOWERED_PART;
                let rested = watch.last_minute(unix_ms()) <= low.create_rpm as usize;
                if reached && watch.open_max_lowered.is_none() {
                    watch.open_max_lowered = Some(watch.open());
                }
                if self.stand == Stand::Announced && reached && rested {
                    self.provider(low);
                    self.stand = Stand::Low;
                } else if self.stand == Stand::Low && least <= most / 2 && bought {
                    self.raise(watch);
                } else if watch.creates >= jobs * 4 / 5 {
                    self.wrong.push(format!(
                        "the jobs were too few: {least} submitters were left when most were bought"
                    ));
                    self.raise(watch);
                }
            }
            Stand::High | Stand::Raised => {}
        }
    }

    fn lower(&mut self, watch: &mut Watch) {
        let Limits { running, create_rpm } = self.order.low();
        let (running, create_rpm) = (running.to_string(), create_rpm.to_string());
        let to = ["--running", running.as_str(), "--create-rpm", create_rpm.as_str()];
        self.tell(&[&["set", "--class", "2.0"][..], &to].concat());
        watch.lower_from(unix_ms() + GIVEN_AWAY_MS + self.order.slack_ms());
        self.stand = Stand::Announced;
    }

    fn raise(&mut self, watch: &mut Watch) {
        watch.lower_to(unix_ms());
        // What is read from here on may have come later.
        watch.look(self.fleet);
        self.provider(self.order.high());
        self.tell(&["reset", "--class", "2.0"]);
        self.stand = Stand::Raised;
    }

    fn provider(&self, limits: Limits) {
        self.fleet.provider_limits(&json!({"default": self.order.provider(limits)}));
    }

    fn tell(&mut self, words: &[&str]) {
        let all = [&["limits"][..], words, &["--reason", "the drill's provider says so"]].concat();
        let ended = self.fleet.cli(&all);
        if ended.code != 0 {
            self.wrong.push(format!("seedfleet {}: {}", all.join(" "), ended.stderr));
        }
        self.count += 1;
    }
}
