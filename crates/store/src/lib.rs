//! Redis: the record, the tickets, the leases, the indexes, slots and paces of one pool; and, in `fleet`,
//! what belongs to the whole fleet.
//!
//! A job is a record that changes only in [`Store::commit`], one script that checks a claim fence
//! and a revision and then writes everything the new state calls for, or nothing. Tickets only
//! remind; the record decides. Lua checks and moves, Rust decides: which indexes, counters and slots
//! a change touches is derived in one file, `facts`, from the life before and after.
//!
//! The only room that names `redis`. Every key is spelled in [`keys`], every script lies in `lua/`
//! with its contract in its head. All instants are the server's. Nothing here sleeps or repeats a
//! failed call: callers do, and every call is safe to repeat, because a reply can be lost.
//!
//! Must not know: HTTP, the provider, the bucket, apalis.
#![forbid(unsafe_code)]

mod address;
mod admit;
mod archive;
mod archive_facts;
mod batches;
mod begin;
mod birth;
mod budget;
mod caps;
mod claim;
mod clock;
mod commit;
mod connection;
mod decide;
mod doctor;
mod edit;
mod ends;
pub mod engine;
mod erasure;
mod error;
mod events;
mod evidence;
mod facts;
mod failures;
mod fleet;
mod freeze;
mod grant;
mod hint;
mod hooks;
pub mod keys;
mod lease;
mod leaving;
mod lent;
mod limits;
mod line;
mod list;
mod lock;
mod operations;
mod overview;
mod pauses;
mod pilot;
mod progress;
mod pulse;
mod put_off;
mod queue;
mod rejects;
mod report;
mod schema;
mod script;
mod self_check;
mod settings;
mod spent;
mod stop_on;
mod stored;
mod times;
mod told;
mod turn;
mod under_way;
mod uploads;
mod usage;
mod wishes;

pub use admit::{ADMIT_MAX, Admitted, Adopted, Idempotency, Match, NewJob};
pub use archive::{ARCHIVE_VERSION, ArchivePlace, Archived, Fetch, Left, Packed, Shelf, Tombstone};
pub use batches::{BATCHES_MAX, Batch, OWNERS_MAX, Paused};
pub use begin::{BeginGuard, Begun, Counted, Pace};
pub use budget::{BatchCaps, CapUse, PURSES_MAX, Purse, PurseUse};
pub use caps::{Caps, IN_FLIGHT, OwnCaps, TenantCaps, WAITING};
pub use claim::{AccountRoom, CLAIM_MAX, Room};
pub use commit::{CommitRequest, Committed, Writer};
pub use decide::{Decided, DecisionLine};
pub use doctor::{Drift, DriftKind, Mended, Recount};
pub use edit::{EditCount, Edited, JobEdit};
pub use erasure::{Forgotten, MEMBERS_MAX, Member};
pub use error::{ReportError, StoreError};
pub use events::{CHANGES_MAX, Change, ChangeReader, EventSettings, Mark};
pub use evidence::Evidence;
pub use failures::{FailureGroup, Scope};
pub use fleet::{
    ALIVE_FOR, API_KEYS_MAX, About, Around, BEAT_EVERY, EndWhy, FleetStore, Ill, InForce, KnownKey,
    LiveProcess, Minted, RATE_WINDOW, Raised, Rated, Revoked, SILENT_AFTER, Session,
};
pub use freeze::{Freeze, FreezeKind, Watch};
pub use grant::{Grant, HoldRow};
pub use hint::HintOutcome;
pub use hooks::{
    BatchEnd, BatchPause, Bell, DELIVERY_LINES_MAX, Delivered, DeliveryEnd, DeliveryLine,
    DeliveryReport, ENDPOINTS_MAX, Endpoint, EndpointPut, EndpointState, HookClaim, HookEvent,
    HookSecret, HookWork, OUTBOX_MAX, Off, Outgoing, Replayed, SHARE_MAX, Shared, Sharing,
};
pub use lease::{RENEW_MAX, Released};
pub use leaving::TombCursor;
pub use limits::{CallRow, Limit, LimitChange, LimitChanges, LimitKind, Lowered, SetLimit, Slowed};
pub use list::{Cursor, CursorError, LIST_MAX, LOOKS_MAX, ListQuery, Order, Page};
pub use lock::OwnLock;
pub use operations::{
    NewOperation, OPERATIONS_OPEN_MAX, Only, Opened, Operation, OperationVerb, OperationWish,
    Progress,
};
pub use overview::{AuditLine, Depth, StopRow, TimelineLine};
pub use pauses::{
    DOWNLOAD_MARGIN, PAUSE_FOR, PAUSE_FOR_MAX, PAUSES_MAX, POLL_PAUSE_MAX, Pause, PauseScope,
};
pub use pilot::PILOT_MAX;
pub use progress::ahead;
pub use pulse::Pulse;
pub use queue::{Claim, Claimed, Held, Lane, Queue};
pub use rejects::{REJECTS_MAX, RejectsCursor};
pub use report::Reported;
pub use schema::SchemaTally;
pub use script::script_of;
pub use self_check::{Finding, Severity};
pub use settings::{Settings, Topology, redact};
pub use spent::{SPENT_DAYS_MAX, Spent, SpentRow};
pub use stop_on::{STOP_BY, STOP_LOOKS_MAX};
pub use stored::{LOAD_MAX, Stored};
pub use turn::{PAUSE_NEWS_MAX, PAUSED_MAX, PauseNews};
pub use under_way::UnderWay;
pub use uploads::{UPLOAD_LEASE, UPLOADS_MAX, Upload, Uploaded};
pub use usage::{DayUsage, Media};

use connection::Connection;
use job::{BuyCaps, Timestamp, Versions};
use keys::{FleetKeys, Keys};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// One pool's memory. Cheap to clone; clones share a connection.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    rooms: Arc<BTreeMap<SlotClass, Room>>,
    caps: Arc<TenantCaps>,
    shelf: Option<Arc<dyn Shelf>>,
    budget: BuyCaps,
}

struct Inner {
    connection: Connection,
    fleet: FleetStore,
    keys: Keys,
    pool: String,
    settings: Settings,
    /// The highest `lsn` this process was ever told: see [`Store::watch`].
    told: freeze::Told,
    /// See [`Store::reckoned_now`].
    clock: clock::Clock,
    put_offs: put_off::PutOffs,
    /// This connection among those of all processes, for people.
    me: String,
    /// The same for [`Store::lock`].
    token: String,
    /// Run and replication id of the server at the last check; empty before the first.
    server: std::sync::Mutex<String>,
    /// The version of the record in force, as heard last: see [`Store::hear_version`].
    in_force: AtomicU32,
}

impl Store {
    /// Connects; answers within `connect_timeout` or says why not, without the password.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: repeat; [`StoreError::Refused`]: address or password are wrong.
    pub async fn connect(settings: &Settings, pool: &str) -> Result<Self, StoreError> {
        let keys = Keys::new(&settings.key_prefix, pool);
        let connection = Connection::open(settings, keys.slot()).await?;
        let slot = FleetKeys::new(&settings.key_prefix).slot();
        let fleet = FleetStore::over(connection.to_slot(slot), settings);
        let in_force = fleet.schema_in_force().await?.version;
        Ok(Self {
            inner: Arc::new(Inner {
                connection,
                fleet,
                keys,
                pool: pool.to_owned(),
                settings: settings.clone(),
                told: freeze::Told::default(),
                clock: clock::Clock::default(),
                put_offs: put_off::PutOffs::default(),
                me: me(),
                server: std::sync::Mutex::default(),
                in_force: in_force.unwrap_or(Versions::own().oldest_written).into(),
                token: ulid::Ulid::generate().to_string(),
            }),
            rooms: Arc::default(),
            caps: Arc::default(),
            shelf: None,
            budget: BuyCaps::default(),
        })
    }

    /// The same store, holding each tenant to its caps. Every process of a fleet has the same ones.
    #[must_use]
    pub fn with_caps(mut self, caps: TenantCaps) -> Self {
        self.caps = Arc::new(caps);
        self
    }

    /// The same store, holding its pool to what it may buy. Every process of a fleet has the same caps.
    #[must_use]
    pub fn with_budget(mut self, caps: BuyCaps) -> Self {
        self.budget = caps;
        self
    }

    /// What the pool may buy.
    #[must_use]
    pub const fn buy_caps(&self) -> BuyCaps {
        self.budget
    }

    /// What a tenant may take.
    #[must_use]
    pub fn caps_of(&self, tenant: &str) -> Caps {
        self.caps.of(tenant)
    }

    /// The pool this is the memory of.
    #[must_use]
    pub fn pool(&self) -> &str {
        &self.inner.pool
    }

    /// The keys of the pool.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// The server's clock.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let value = self.connection().ask(&redis::cmd("TIME")).await?;
        let now = stored::time(Some(value))?;
        self.inner.clock.hear(now);
        Ok(now)
    }
}

/// Program and process, as a person looks for it.
fn me() -> String {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    format!("{name}#{}", std::process::id())
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("pool", &self.inner.pool)
            .field("settings", &self.inner.settings)
            .finish()
    }
}
