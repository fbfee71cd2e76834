//! The worlds that the protocol is checked in.

use crate::reached::Reached;
use crate::world::Budgets;
use job::DoubtPolicy;

/// Whose jobs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// One.
    One,
    /// One, which Redis may lose; the caller then asks again and gets another id.
    Repeated,
    /// Two different ones of one account.
    Two,
}

/// One kind of world.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// For tables and tests.
    pub name: &'static str,
    /// What is special about it, for people.
    pub about: &'static str,
    /// Unique worlds that an exhaustive search finds at least.
    pub worlds_min: usize,
    pub(crate) doubt: DoubtPolicy,
    /// The second fence outside Redis.
    pub(crate) fence: bool,
    /// Begin is on disk before its reply is out.
    pub(crate) durable: bool,
    /// A list may show a task as late as it likes.
    pub(crate) late_list: bool,
    pub(crate) jobs: Jobs,
    pub(crate) left: Budgets,
    pub(crate) reaches: &'static [Reached],
}

const BALANCED: Variant = Variant {
    name: "balanced",
    about: "re-send after proven absence; Redis keeps each Begin and may fall back to any state since",
    worlds_min: 300_000,
    doubt: DoubtPolicy::Balanced,
    fence: false,
    durable: true,
    late_list: false,
    jobs: Jobs::One,
    left: Budgets { silences: 2, losses: 2, rollbacks: 1, shifts: 1, orders: 0, attempts: 2 },
    reaches: &[
        Reached::FoundInList,
        Reached::CalledBack,
        Reached::SentAgain,
        Reached::Parked,
        Reached::GateClosed,
    ],
};

const THRICE: Variant = Variant {
    name: "thrice",
    about: "the same with a third attempt and fewer misfortunes",
    worlds_min: 50_000,
    left: Budgets { silences: 1, losses: 1, rollbacks: 1, shifts: 1, orders: 0, attempts: 3 },
    reaches: &[Reached::SentAgain, Reached::LateReport, Reached::GateClosed],
    ..BALANCED
};

const STRICT: Variant = Variant {
    name: "strict",
    about: "no second send by program; a list shows tasks as late as it likes; a person may order one \
            more send",
    worlds_min: 100_000,
    doubt: DoubtPolicy::Strict,
    late_list: true,
    left: Budgets { silences: 1, losses: 2, rollbacks: 1, shifts: 0, orders: 1, attempts: 2 },
    reaches: &[Reached::FoundInList, Reached::CalledBack, Reached::Parked, Reached::GateClosed],
    ..BALANCED
};

const FENCE: Variant = Variant {
    name: "fence",
    about: "Redis forgets what it acknowledged, back to any earlier state; the second fence is on",
    worlds_min: 100_000,
    fence: true,
    durable: false,
    left: Budgets { silences: 2, losses: 1, rollbacks: 1, shifts: 0, orders: 0, attempts: 2 },
    reaches: &[
        Reached::FoundInList,
        Reached::CalledBack,
        Reached::SentAgain,
        Reached::MetBeforeBegin,
        Reached::MetByOwn,
        Reached::Recalled,
        Reached::Parked,
    ],
    ..BALANCED
};

const REPEATED: Variant = Variant {
    name: "repeated",
    about: "Redis loses the job itself, and the same request is accepted again under a new id, or the \
            job comes back from its intent; the second fence is on",
    jobs: Jobs::Repeated,
    left: Budgets { silences: 1, losses: 1, rollbacks: 1, shifts: 0, orders: 0, attempts: 2 },
    reaches: &[
        Reached::FoundInList,
        Reached::MetBeforeBegin,
        Reached::MetByOwn,
        Reached::Restored,
        Reached::AdoptedForLost,
    ],
    ..FENCE
};

const NEIGHBOURS: Variant = Variant {
    name: "neighbours",
    about: "two jobs of one account, whose attempts draw each other's marks as soon as Begin allows it",
    worlds_min: 100_000,
    jobs: Jobs::Two,
    left: Budgets { silences: 1, losses: 0, rollbacks: 1, shifts: 0, orders: 0, attempts: 2 },
    reaches: &[Reached::FoundInList, Reached::CalledBack, Reached::Parked],
    ..BALANCED
};

/// Every variant.
pub const VARIANTS: [Variant; 6] = [BALANCED, THRICE, STRICT, FENCE, REPEATED, NEIGHBOURS];

impl Variant {
    /// The part of its worlds in which little goes wrong.
    pub(crate) fn corner(mut self) -> Self {
        self.left.silences = self.left.silences.min(1);
        self.left.losses = self.left.losses.min(1);
        self
    }

    /// What may go wrong, in words.
    pub(crate) fn misfortunes(&self) -> String {
        let Budgets { silences, losses, rollbacks, shifts, orders, attempts } = self.left;
        let counted = [
            (attempts, "attempts"),
            (silences, "silences"),
            (losses, "losses"),
            (rollbacks, "falls"),
            (shifts, "shifts"),
            (orders, "orders"),
        ];
        let words = counted.iter().filter(|(count, _)| *count > 0);
        words.map(|(count, what)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        VARIANTS.into_iter().find(|variant| variant.name == name)
    }
}
