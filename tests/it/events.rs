//! Followers: one job's way, a tenant's news, resumed and bounded.

use e2e::kit::{ALICE, BOB, Block, Fleet, Follower, Options, text};
use job::JobId;
use sandbox::ports;
use std::time::Duration;

fn job(fleet: &Fleet, prompt: &str) -> JobId {
    let reply = fleet.post_job(text(prompt));
    JobId::parse(reply.body["id"].as_str().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{reply:?}"))
}

fn rest(fleet: &Fleet, follower: &mut Follower) -> Vec<Block> {
    std::iter::from_fn(|| fleet.heard(follower)).filter(|block| !block.event.is_empty()).collect()
}

/// The next event of a stream; comments and beats are passed over.
fn event(fleet: &Fleet, follower: &mut Follower) -> Block {
    loop {
        let block = fleet.heard(follower).expect("the stream goes on");
        if !block.event.is_empty() {
            return block;
        }
    }
}

#[test]
fn a_job_is_followed_to_its_end_and_resumed_at_another_gateway() {
    let fleet = Fleet::start(Options::with_gateway());
    let id = job(&fleet, "a lighthouse");
    let path = format!("/v1/jobs/{id}/events");
    assert_eq!(fleet.follow(fleet.gateway_port(), &path, BOB, None).status(), 404);
    let mut follower = fleet.follow(fleet.gateway_port(), &path, ALICE, None);
    assert_eq!(follower.header("content-type"), "text/event-stream");
    let heard = rest(&fleet, &mut follower);
    let kinds: Vec<&str> = heard.iter().map(|block| block.event.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"job.submitted"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"job.succeeded"), "it ends with the job: {kinds:?}");
    assert!(kinds.contains(&"job.running") && kinds.contains(&"job.downloading"), "{kinds:?}");
    let seqs: Vec<u64> = heard.iter().filter_map(|block| block.data["seq"].as_u64()).collect();
    assert!(seqs.len() == heard.len() && seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");

    let second = ports::free();
    fleet.start_gateway_as("gateway-2", second);
    let from = &heard[1].id;
    let mut resumed = fleet.follow(second, &path, ALICE, Some(from));
    assert_eq!(rest(&fleet, &mut resumed), heard[2..], "exactly what came after {from}");
    let last = &heard.last().expect("events").id;
    assert_eq!(fleet.follow(second, &path, ALICE, Some(last)).status(), 204, "nothing is left");
    assert_eq!(fleet.follow(second, &path, ALICE, Some("nonsense")).status(), 400);
    fleet.audit(&[id]);
}

#[test]
fn a_tenants_news_come_once_and_survive_a_gateway() {
    let fleet = Fleet::start(Options::with_gateway());
    let port = fleet.gateway_port();
    let path = "/v1/events?types=job.submitted,job.succeeded";
    let mut bob = fleet.follow(port, "/v1/events", BOB, None);
    let mut alice = fleet.follow(port, path, ALICE, None);
    let first = job(&fleet, "the first");
    let submitted = event(&fleet, &mut alice);
    assert_eq!(submitted.event, "job.submitted");
    assert_eq!(submitted.data["job"], first.as_str());
    assert_eq!(event(&fleet, &mut alice).event, "job.succeeded", "other types are left out");

    fleet.role("gateway").signal("TERM").expect("it lives");
    let last = std::iter::from_fn(|| fleet.heard(&mut alice)).last().expect("a last word");
    assert!(last.retry.is_some_and(|ms| ms >= 1_000), "{last:?}");
    assert_eq!(rest(&fleet, &mut bob), [], "nobody hears of another tenant's jobs");
    fleet.role("gateway").wait_bounded(Duration::from_secs(20)).expect("it drains");

    let second = fleet.admit(text("while no gateway ran"));
    fleet.wait(&second, "succeeded");
    fleet.start_gateway();
    let mut alice = fleet.follow(port, path, ALICE, Some(&submitted.id));
    let heard: Vec<Block> = (0..3).map(|_| event(&fleet, &mut alice)).collect();
    let told: Vec<_> = heard.iter().map(|block| block.data["job"].as_str().unwrap_or("")).collect();
    assert_eq!(told, [first.as_str(), second.as_str(), second.as_str()], "{heard:?}");
    let later = job(&fleet, "after all that");
    assert_eq!(event(&fleet, &mut alice).data["job"], later.as_str(), "and then it follows on");
    let refused = fleet.get("/v1/events?types=job.exploded", ALICE);
    assert_eq!((refused.status, &refused.body["code"]), (400, &"no-such-type".into()));
}

#[test]
fn followers_are_bounded_for_a_tenant_and_in_all() {
    let bounds = "[events]\nstreams_max = 5\ntenant_streams_max = 3\n";
    let options = Options { roles: vec!["gateway"], ..Options::default() }.config(bounds);
    let fleet = Fleet::start(options);
    let open = |key| fleet.follow(fleet.gateway_port(), "/v1/events", key, None);
    let mut alices: Vec<Follower> = (0..3).map(|_| open(ALICE)).collect();
    assert!(alices.iter().all(|follower| follower.status() == 200));
    let refused = open(ALICE);
    assert_eq!(refused.status(), 429);
    assert!(!refused.header("retry-after").is_empty());
    let bobs: Vec<Follower> = (0..3).map(|_| open(BOB)).collect();
    let statuses: Vec<u16> = bobs.iter().map(Follower::status).collect();
    assert_eq!(statuses, [200, 200, 503], "the gateway is full");
    alices.pop();
    fleet.until("a seat is free again", || (open(ALICE).status() == 200).then_some(()));
}
