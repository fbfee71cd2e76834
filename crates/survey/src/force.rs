//! Limits in force: as configured, or lower because a person wants it or the provider refused too much.

use job::{AccountSettings, Timestamp};
use seedance::{Brake, SlotClass};
use serde::Serialize;
use store::{CallRow, Limit, LimitKind, Lowered, SetLimit, Slowed, StopRow};
use utoipa::ToSchema;

/// One slot class of an account.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ClassLimits)]
pub struct ClassView {
    /// The class, such as `2.0`.
    pub class: &'static str,
    /// Tasks that may run at once now.
    pub slots: u32,
    /// Of them, taken; tasks that the account is fed ahead count too.
    pub slots_used: u64,
    /// Tasks that the account is fed beyond its slots now.
    pub lookahead: u32,
    /// Creates a minute now.
    pub create_rpm: f64,
    /// Until when it creates nothing of this class; none while it creates, or where the whole account is stopped.
    pub stopped_until: Option<String>,
    /// The code that stopped it.
    pub stopped_by: Option<String>,
    /// The same limits as they are configured: no others are ever higher.
    pub configured: ConfiguredView,
    /// What people have set. Each ends at its time, or when it is taken back.
    pub set: Vec<SetView>,
    /// What was taken away after refusals. Each comes back by itself.
    pub slowed: Vec<SlowedView>,
}

/// The limits of a class in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConfiguredLimits)]
pub struct ConfiguredView {
    /// Tasks that run at once.
    pub slots: u32,
    /// Tasks that the account is fed beyond them.
    pub lookahead: u32,
    /// Creates a minute.
    pub create_rpm: u32,
}

/// The rate of a kind of call.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = CallLimits)]
pub struct CallView {
    /// `retrieve`, `list` or `delete`.
    pub call: &'static str,
    /// Calls a second now.
    pub per_second: f64,
    /// As configured.
    pub configured_per_second: u32,
    /// What people have set.
    pub set: Vec<SetView>,
}

/// A limit that a person has set.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = SetLimit)]
pub struct SetView {
    /// `create_rpm`, `running`, `lookahead`, `retrieve_qps`, `list_qps` or `delete_qps`.
    pub limit: &'static str,
    /// How much.
    pub value: f64,
    /// By whom.
    pub by: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub at: String,
    /// When it ends by itself; null: when it is taken back.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// What was taken away after a refusal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = SlowedLimit)]
pub struct SlowedView {
    /// `rate`: creates a minute. `ramp`: the same, after they grew too fast. `depth`: the look-ahead.
    pub what: &'static str,
    /// What is left of the rate, in percent; of the look-ahead, null.
    pub left_percent: Option<u32>,
    /// What is away of the look-ahead, in tasks; of the rate, null.
    pub away: Option<u32>,
    /// When the first of the refusals came.
    #[schema(format = DateTime)]
    pub since: String,
    /// The provider's code, of the last one.
    pub code: String,
    /// How often a step comes back, in seconds.
    pub step_every_s: f64,
    /// When it is whole again, if no other refusal comes.
    #[schema(format = DateTime)]
    pub whole_at: String,
}

/// What of an account is lower than configured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Force<'a> {
    pub(crate) rows: &'a [Lowered],
    pub(crate) account: &'a str,
    pub(crate) settings: &'a AccountSettings,
    pub(crate) lookahead: u32,
    pub(crate) now: Timestamp,
}

impl Force<'_> {
    fn row(&self, row: CallRow) -> Option<&Lowered> {
        self.rows.iter().find(|lowered| lowered.account == self.account && lowered.row == row)
    }

    pub(crate) fn class(
        &self,
        class: SlotClass,
        slots_used: u64,
        stop: Option<&StopRow>,
    ) -> ClassView {
        let limits = self.settings.class_limits(class);
        let row = self.row(CallRow::Create(class));
        let set = |kind, configured: u32| lower(row, kind, f64::from(configured));
        let configured = f64::from(limits.create_rpm);
        let rpm = row.map_or(configured, |row| row.calls(limits.create_rpm, self.now));
        let deep = row.map_or(0, |row| row.away(Brake::Depth, self.now));
        let slots = whole(set(LimitKind::Running, limits.running));
        let lookahead = whole(set(LimitKind::Lookahead, self.lookahead));
        let lookahead = if slots == 0 { 0 } else { lookahead };
        ClassView {
            class: class.word(),
            slots,
            slots_used,
            lookahead: lookahead.saturating_sub(deep),
            create_rpm: (rpm * 1_000.0).round() / 1_000.0,
            stopped_until: stop.map(|stop| stop.until.rfc3339()),
            stopped_by: stop.map(|stop| stop.code.clone()),
            configured: ConfiguredView {
                slots: limits.running,
                lookahead: self.lookahead,
                create_rpm: limits.create_rpm,
            },
            set: self.set(row),
            slowed: row
                .map(|row| row.slowed.iter().map(|slowed| self.slowed(slowed)).collect())
                .unwrap_or_default(),
        }
    }

    pub(crate) fn calls(&self) -> Vec<CallView> {
        let settings = self.settings;
        let rows = [
            (CallRow::Retrieve, settings.retrieve_qps()),
            (CallRow::List, settings.list_qps()),
            (CallRow::Delete, settings.delete_qps()),
        ];
        let view = |(row, configured): (CallRow, u32)| {
            let lowered = self.row(row);
            CallView {
                call: row.call().word(),
                per_second: lower(lowered, LimitKind::Calls, f64::from(configured)),
                configured_per_second: configured,
                set: self.set(lowered),
            }
        };
        rows.into_iter().map(view).collect()
    }

    fn set(&self, row: Option<&Lowered>) -> Vec<SetView> {
        let Some(row) = row else { return Vec::new() };
        let view = |set: &SetLimit| SetView {
            limit: Limit::of(row.row, set.kind).word(),
            value: set.kind.shown(set.value),
            by: set.by.clone(),
            at: set.at.rfc3339(),
            until: set.until.map(Timestamp::rfc3339),
            reason: set.reason.clone(),
        };
        row.set.iter().map(view).collect()
    }

    fn slowed(&self, slowed: &Slowed) -> SlowedView {
        let away = slowed.away(self.now);
        let of_the_rate = match slowed.brake {
            Brake::Rate | Brake::Ramp => true,
            Brake::Depth => false,
        };
        SlowedView {
            what: slowed.brake.word(),
            left_percent: of_the_rate.then(|| 100_u32.saturating_sub(away / 10)),
            away: (!of_the_rate).then_some(away),
            since: slowed.began.rfc3339(),
            code: slowed.code.clone(),
            step_every_s: slowed.every.as_secs_f64(),
            whole_at: slowed.ends().rfc3339(),
        }
    }
}

fn lower(row: Option<&Lowered>, kind: LimitKind, configured: f64) -> f64 {
    let set = row.and_then(|row| row.set(kind));
    set.map_or(configured, |set| kind.shown(set.value).min(configured))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole u32 by then")]
fn whole(value: f64) -> u32 {
    value as u32
}

impl SetView {
    /// In words. `of`: account and class.
    #[must_use]
    pub fn told(&self, of: &str) -> String {
        let Self { limit, value, by, at, until, reason } = self;
        let until =
            until.as_ref().map_or("until it is taken back".to_owned(), |at| format!("until {at}"));
        format!("{of}: {limit} {value}, set by {by} at {at} {until}: {reason}.")
    }
}

impl SlowedView {
    /// In words. `of`: account and class.
    #[must_use]
    pub fn told(&self, of: &str) -> String {
        let Self { left_percent, away, since, code, step_every_s, whole_at, what } = self;
        let (how, step) = match (left_percent, away) {
            (Some(left), _) => {
                let step = if *what == Brake::Ramp.word() { "+10 %" } else { "+1 %" };
                (format!("create at {left} %"), step)
            }
            (None, away) => (format!("fed {} fewer ahead", away.unwrap_or(0)), "+1"),
        };
        format!(
            "{of}: {how} since {since}, because {code}; {step} every {step_every_s} s, whole at {whole_at}."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::LimitSettings;
    use seedance::Tier;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    fn set(kind: LimitKind, value: u64) -> SetLimit {
        let (by, reason) = ("ann".to_owned(), "others use it".to_owned());
        SetLimit { kind, value, until: None, at: NOW, by, reason }
    }

    fn slowed(brake: Brake, first: u32) -> Slowed {
        let (every, code) = (Duration::from_secs(30), "Slow".to_owned());
        Slowed { brake, first, step: 10, every, since: NOW, began: NOW, code }
    }

    #[test]
    fn the_lower_one_is_in_force_and_each_reason_is_told() {
        let settings = AccountSettings {
            api_key_file: "unused".into(),
            tier: Tier::Enterprise,
            limits: LimitSettings::default(),
        };
        let kinds = [(LimitKind::Calls, 60_000), (LimitKind::Running, 99)];
        let rows = [
            Lowered {
                account: "a".into(),
                row: CallRow::Create(SlotClass::V20),
                set: kinds.map(|(kind, value)| set(kind, value)).into(),
                slowed: vec![slowed(Brake::Rate, 300), slowed(Brake::Depth, 1)],
            },
            Lowered {
                account: "a".into(),
                row: CallRow::List,
                set: vec![set(LimitKind::Calls, 500)],
                slowed: Vec::new(),
            },
        ];
        let force =
            Force { rows: &rows, account: "a", settings: &settings, lookahead: 2, now: NOW };
        let class = force.class(SlotClass::V20, 1, None);
        // More than configured counts for nothing.
        assert_eq!((class.slots, class.lookahead), (10, 1));
        assert!((class.create_rpm - 42.0).abs() < 1e-9, "{}", class.create_rpm);
        let said = class.slowed[0].told("a 2.0");
        assert!(said.contains("create at 70 % since 2023") && said.contains("because Slow; +1 %"));
        assert!(class.slowed[1].told("a 2.0").contains("fed 1 fewer ahead"));
        let said = class.set[0].told("a 2.0");
        assert!(said.contains("create_rpm 60, set by ann") && said.contains("others use it"));
        let other = Force { account: "b", ..force }.class(SlotClass::V20, 0, None);
        assert_eq!((other.slots, other.lookahead, other.set.len()), (10, 2, 0));
        assert!((force.calls()[1].per_second - 0.5).abs() < 1e-9);
    }
}
