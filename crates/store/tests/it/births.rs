//! Many births in one call: the answers and all that stands afterwards are those of one call for each.

use crate::ground::{Ground, held_for_review, record_of};
use job::{
    Cause, End, Filing, Fingerprint, JobId, Life, Priority, Record, State, StoredOutput, Timestamp,
    Webhook,
};
use seedance::{Class, Cost, Currency, Day, Route};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{ADMIT_MAX, Admitted, Caps, Idempotency, NewJob, Store, StoreError, TenantCaps};

const ROUNDS: usize = 24;
/// Everything in a server, without what the clock says: stamps, ids of stream entries, instants of
/// due tickets and of lines.
const ALL: &str = "
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, of = redis.call('TYPE', key).ok, {}
  local function pairs_of(list)
    for i = 1, #list, 2 do of[#of + 1] = list[i] .. '=' .. (key:find(':due:') and '' or list[i + 1]) end
    table.sort(of)
  end
  if kind == 'string' then of = {redis.call('GET', key)}
  elseif kind == 'hash' then pairs_of(redis.call('HGETALL', key))
  elseif kind == 'zset' then pairs_of(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
  elseif kind == 'list' then
    for i, line in ipairs(redis.call('LRANGE', key, 0, -1)) do of[i] = line:gsub('^{\"at\":%d+', '') end
  else for i, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do of[i] = table.concat(entry[2], ' ') end
  end
  local lapses = redis.call('PTTL', key) > 0 and ' lapses ' or ' '
  if not key:find(':run$') then out[#out + 1] = key .. lapses .. table.concat(of, ', ') end
end
table.sort(out)
return out";

fn all(ground: &Ground) -> Vec<String> {
    let told = ground.redis.command(&["EVAL", ALL, "0"]).expect("answers");
    told.lines().map(str::to_owned).collect()
}

fn same(one: &Ground, many: &Ground, what: &str) {
    let (one, many) = (all(one), all(many));
    for (one, many) in one.iter().zip(&many) {
        assert_eq!(one, many, "{what}");
    }
    assert_eq!(one.len(), many.len(), "{what}");
}

/// Numbers that look like chance and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

fn fresh_id() -> JobId {
    JobId::from_ulid(ulid::Ulid::generate())
}

/// A job as callers make them: of three tenants, two of which meet their caps on the way.
fn any(dice: &mut Dice) -> Record {
    let tenant = ["waits", "spends", "free"][dice.roll(3)];
    let priority = [Priority::High, Priority::Normal, Priority::Low][dice.roll(3)];
    let batch = [None, Some("x"), Some("y:1")][dice.roll(3)];
    let mut record = record_of(tenant, priority, batch);
    record.created_at = record.created_at + Duration::from_millis(dice.roll(3) as u64);
    let effective_from = Day::from_unix_s(0);
    let micros = 1_000 * dice.roll(900) as u64;
    let spec = &mut record.spec;
    spec.estimate_cost = Some(Cost { currency: Currency::Usd, micros, effective_from });
    spec.custom_id = dice.one_in(3).then(|| format!("row {}", dice.roll(50)));
    spec.end_user = dice.one_in(4).then(|| "ann".to_owned());
    if dice.one_in(9) {
        spec.webhook = Some(Webhook { url: "https://x.example/".into(), secret_ref: None });
    }
    record.life = Life::begin(record.life.state.clone(), record.created_at);
    if dice.one_in(6) { held_for_review(record) } else { record }
}

/// New ones, the same again, the same request under another id, and keys that were used before.
fn items(dice: &mut Dice, known: &mut Vec<Record>) -> Vec<NewJob> {
    let n = if dice.one_in(6) { ADMIT_MAX } else { 1 + dice.roll(30) };
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        let mut record = match dice.roll(5) {
            0 if !known.is_empty() => known[dice.roll(known.len())].clone(),
            _ => any(dice),
        };
        if dice.one_in(2) {
            record.id = fresh_id();
        }
        let (key, body) = (format!("k{}", dice.roll(60)), format!("b{}", dice.roll(2)));
        let idempotency = dice.one_in(3).then_some(Idempotency { key, body_sha256: body });
        known.push(record.clone());
        items.push(NewJob { record, idempotency });
    }
    items
}

fn capped(ground: &Ground) -> Store {
    let own = |text| serde_json::from_str(text).expect("caps");
    let own = BTreeMap::from([
        ("waits".to_owned(), own(r#"{"queued_max": 90}"#)),
        ("spends".to_owned(), own(r#"{"queued_max": 400, "spend_day_max": 30}"#)),
    ]);
    ground.store.clone().with_caps(TenantCaps { all: Caps::default(), own })
}

async fn admit(store: &Store, jobs: &[NewJob]) -> Vec<Admitted> {
    let answers = store.admit(jobs).await.expect("few enough");
    answers.into_iter().map(|answer| answer.expect("Redis answers")).collect()
}

#[tokio::test]
async fn many_at_once_are_what_as_many_one_by_one_are() {
    let (one, many) = (Ground::new().await, Ground::new().await);
    let (single, bulk) = (capped(&one), capped(&many));
    let (mut dice, mut known) = (Dice(0x5eed), Vec::new());
    let mut seen = BTreeMap::<&str, usize>::new();
    for round in 0..ROUNDS {
        let jobs = items(&mut dice, &mut known);
        let mut answers = Vec::with_capacity(jobs.len());
        for job in &jobs {
            answers.extend(admit(&single, std::slice::from_ref(job)).await);
        }
        assert_eq!(admit(&bulk, &jobs).await, answers, "round {round}");
        for answer in &answers {
            let word = match answer {
                Admitted::Created => "created",
                Admitted::Existing { by: store::Match::Key, .. } => "known by key",
                Admitted::Existing { by: store::Match::Fingerprint, .. } => "known by fingerprint",
                Admitted::KeyReused { .. } => "key reused",
                Admitted::Full { .. } => "full",
                Admitted::Spent { .. } => "spent",
            };
            *seen.entry(word).or_default() += 1;
        }
        same(&one, &many, &format!("round {round}"));
    }
    assert!(seen.len() == 6 && seen.values().all(|n| *n > 5), "{seen:?}");
    one.sound().await;
    many.sound().await;
}

/// One job of each kind that comes back with more than a ticket: slots, tasks, sums, failures.
async fn lived() -> Vec<Record> {
    let ground = Ground::new().await;
    let mut ids = vec![ground.doubtful().await.0.id];
    for n in 0..3 {
        let record = record_of("t", Priority::Normal, Some("b"));
        ids.push(ground.generating(record, &format!("cgt-{n}")).await.0.id);
    }
    let mut records = Vec::new();
    for id in ids {
        records.push(ground.load(&id).await.record);
    }
    let at = Timestamp::from_unix_ms(1_790_000_000_000);
    for n in 0..6_u64 {
        let mut record = record_of("t", Priority::Low, [None, Some("b")][usize::from(n > 2)]);
        let output = StoredOutput {
            manifest: "m".into(),
            video: "v".into(),
            video_sha256: "11".repeat(32),
            video_bytes: n,
            last_frame: None,
            tokens: Some(n),
        };
        let (code, message) = (format!("Code{}", n % 2), "why".to_owned());
        let cause = Cause { code, class: Class::Output, message, task_existed: true };
        let end = if n % 3 == 0 { End::Stored { output } } else { End::Failed { cause } };
        let at = at + Duration::from_millis(n);
        let state = State::Finished { end, task: None, filing: Filing::Nothing, at };
        record.life = Life::begin(state, at);
        records.push(record);
    }
    // The same task once more, as another job's.
    let mut other = records[1].clone();
    other.id = fresh_id();
    other.spec.take = 7;
    other.spec.fingerprint = Fingerprint::of(Route::Byteplus, &other.spec.request, None, 7);
    records.insert(4, other);
    records
}

#[tokio::test]
async fn jobs_that_come_back_do_so_alike() {
    let records = lived().await;
    let (one, many) = (Ground::new().await, Ground::new().await);
    for round in 0..2 {
        let mut owned = 0;
        for record in &records {
            match one.store.restore(std::slice::from_ref(record)).await {
                Ok(back) => assert_eq!(back, [round == 0]),
                Err(StoreError::Corrupt { .. }) => owned += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(owned, 1, "its task is another's");
        assert!(matches!(many.store.restore(&records).await, Err(StoreError::Corrupt { .. })));
        same(&one, &many, &format!("round {round}"));
    }
    one.sound().await;
    many.sound().await;
}

#[tokio::test]
async fn a_server_without_memory_writes_none_of_them_and_a_call_holds_nobody_up_for_long() {
    let ground = Ground::new().await;
    let mut dice = Dice(7);
    let mut fresh = |n| {
        let job = |_| NewJob { record: any(&mut dice), idempotency: None };
        (0..n).map(job).collect::<Vec<NewJob>>()
    };
    admit(&ground.store, &fresh(3)).await;
    let before = all(&ground);
    let jobs = fresh(40);
    ground.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).expect("answers");
    let refused = ground.store.admit(&jobs).await.expect("few enough");
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(all(&ground), before);
    ground.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).expect("answers");
    assert!(admit(&ground.store, &jobs).await.iter().all(|answer| *answer == Admitted::Created));

    ground.redis.command(&["CONFIG", "RESETSTAT"]).expect("answers");
    admit(&ground.store, &fresh(ADMIT_MAX)).await;
    let told = ground.redis.command(&["INFO", "commandstats"]).expect("answers");
    let calls = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = calls.and_then(|rest| rest.split(',').next()).and_then(|n| n.parse::<usize>().ok());
    assert_eq!(calls, Some(2), "a hundred in each: {told}");
    ground.sound().await;
}
