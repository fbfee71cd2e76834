//! Good days, bad hosts, and processes that die in between.

use assets::sha256_hex;
use downloader::{At, Brought, Errand, Moment, bring};
use futures::FutureExt;
use job::{Links, StoredOutput};

use crate::host::{Host, Turn};
use crate::jobs::{Bed, NOW, bed, client, film, links, payload, record};

const FRAME: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn no_fault(_: Moment) -> futures::future::BoxFuture<'static, ()> {
    std::future::ready(()).boxed()
}

struct Visit<'a> {
    host: &'a Host,
    links: Links,
    tries: u32,
    name: &'a str,
}

async fn visit(bed: &Bed, visit: &Visit<'_>, at: At<'_>) -> Brought {
    let (record, task) = record(&visit.links);
    let errand = Errand {
        record: &record,
        task: &task,
        links: &visit.links,
        tries: visit.tries,
        download_attempt_id: visit.name,
        fetches_max: 3,
        now: NOW,
    };
    bring(&client(visit.host), &bed.assets, &errand, at).await
}

async fn once(bed: &Bed, host: &Host) -> Brought {
    let links = links(host, None);
    visit(bed, &Visit { host, links, tries: 0, name: "dl1" }, &no_fault).await
}

#[track_caller]
fn stored(brought: Brought) -> StoredOutput {
    match brought {
        Brought::Stored(output) => output,
        other => panic!("expected a stored output, got {other:?}"),
    }
}

#[track_caller]
fn troubled(brought: Brought) -> String {
    match brought {
        Brought::Troubled { reason } => {
            assert!(!reason.contains("deadbeef"), "a signed link in a reason: {reason}");
            reason
        }
        other => panic!("expected trouble, got {other:?}"),
    }
}

#[tokio::test]
async fn a_video_its_frame_and_its_payload_come_home() {
    let bed = bed();
    let body = film(5, 300_000);
    let host = Host::serving(&body, vec![]).await;
    let frames = Host::serving(FRAME, vec![]).await;
    let links = links(&host, Some(frames.link()));
    let (record, task) = record(&links);
    let origins = [host.origin(), frames.origin()];
    let rules = egress::Rules::for_outputs(&egress::Settings::default(), &origins).unwrap();
    let timeouts = egress::FetchTimeouts::default();
    let client = egress::GuardedClient::new(rules, timeouts, egress::Trust::Nobody).unwrap();
    let errand = Errand {
        record: &record,
        task: &task,
        links: &links,
        tries: 0,
        download_attempt_id: "dl1",
        fetches_max: 3,
        now: NOW,
    };
    let output = stored(bring(&client, &bed.assets, &errand, &no_fault).await);

    let folder = "acme/orders/991/2026/11/22/job_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert_eq!(output.manifest, format!("{folder}/manifest.json"));
    assert_eq!(output.video, format!("{folder}/dl1/output.mp4"));
    assert_eq!(output.video_sha256, sha256_hex(&body));
    assert_eq!(output.last_frame, Some(format!("{folder}/dl1/last-frame.png")));
    assert_eq!(output.tokens, Some(108_900));
    let read = |path: &str| std::fs::read(bed.directory.path().join(path)).unwrap();
    assert!(read(&output.video) == body);
    assert_eq!(read(&format!("{folder}/dl1/task.json")), payload().into_bytes());

    let manifest = bed.assets.read_manifest_at(&output.manifest).await.unwrap().unwrap();
    assert_eq!(bed.assets.verify(&manifest).await.unwrap().objects, 3);
    assert_eq!(manifest.facts.seed, Some(48_213));
    assert_eq!(manifest.frozen.account.as_deref(), Some("main"));
    assert_eq!(manifest.findings, Vec::<String>::new());
    let text = String::from_utf8(read(&output.manifest)).unwrap();
    assert!(!text.contains("deadbeef"), "a signed link in the manifest");
    // The key stays with the provider (provider-contract §8.3).
    assert!(host.heads().iter().all(|head| !head.contains("authorization")));
    assert!(host.heads().iter().all(|head| head.contains("accept-encoding: identity")));
}

#[tokio::test]
async fn a_broken_body_is_continued_where_it_stopped() {
    let bed = bed();
    let body = film(5, 400_000);
    let host = Host::serving(&body, vec![Turn::CutAfter(150_000), Turn::Well]).await;
    let output = stored(once(&bed, &host).await);
    assert_eq!(output.video_sha256, sha256_hex(&body));
    let heads = host.heads();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[1].contains("range: bytes=") && heads[1].contains("if-range: \"v1\""),
        "{heads:?}"
    );
}

#[tokio::test]
async fn two_versions_of_a_file_are_never_joined() {
    let old = film(5, 400_000);
    let new = film(5, 390_000);
    for second in [Turn::Replace(new.clone()), Turn::IgnoreRange] {
        let bed = bed();
        let expected = if matches!(second, Turn::IgnoreRange) { &old } else { &new };
        let expected = sha256_hex(expected);
        let host = Host::serving(&old, vec![Turn::CutAfter(150_000), second]).await;
        assert_eq!(stored(once(&bed, &host).await).video_sha256, expected);
    }
}

#[tokio::test]
async fn a_turn_makes_few_requests_and_says_why_it_failed() {
    let bed = bed();
    let busy = || Turn::Say(503, "busy");
    let host = Host::serving(&film(5, 9), vec![busy(), Turn::Hang, busy(), Turn::Well]).await;
    assert!(troubled(once(&bed, &host).await).contains("503"));
    assert_eq!(host.heads().len(), 3);
    stored(once(&bed, &host).await);
}

#[tokio::test]
async fn a_dead_link_is_told_from_a_bad_moment() {
    let bed = bed();
    let host =
        Host::serving(&[], vec![Turn::Say(403, "<Error><Code>AccessDenied</Code></Error>")]).await;
    let brought = once(&bed, &host).await;
    assert!(
        matches!(&brought, Brought::LinkDead { reason } if reason.contains("403")),
        "{brought:?}"
    );
    assert_eq!(host.heads().len(), 1);
}

#[tokio::test]
async fn pages_and_stumps_never_become_videos() {
    let body = film(5, 5_000);
    for wrong in [&b"<html>busy</html>"[..], &body[..body.len() - 1], &film(9, 10)] {
        let bed = bed();
        let host = Host::serving(wrong, vec![]).await;
        troubled(once(&bed, &host).await);
        assert!(
            !bed.directory
                .path()
                .join("acme/orders/991/2026/11/22/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/dl1/output.mp4")
                .exists()
        );
    }
}

#[tokio::test]
async fn a_paid_film_of_another_length_is_kept_with_a_note_in_the_end() {
    let bed = bed();
    let host = Host::serving(&film(9, 10), vec![]).await;
    let third = Visit { host: &host, links: links(&host, None), tries: 2, name: "dl3" };
    let output = stored(visit(&bed, &third, &no_fault).await);
    let manifest = bed.assets.read_manifest_at(&output.manifest).await.unwrap().unwrap();
    assert_eq!(manifest.findings, ["the film lasts 9000 ms, 5 s were ordered"]);
}

#[tokio::test]
async fn an_address_of_our_own_network_is_not_fetched() {
    let bed = bed();
    let host = Host::serving(&film(5, 9), vec![]).await;
    let other = Host::serving(&film(5, 9), vec![]).await;
    let links = links(&other, None);
    let visited = Visit { host: &host, links, tries: 0, name: "dl1" };
    assert!(troubled(visit(&bed, &visited, &no_fault).await).contains("refused"));
    assert_eq!(other.heads().len(), 0);
}

#[tokio::test]
async fn a_frame_that_is_no_picture_is_a_note() {
    let bed = bed();
    // One host for both links: the frame's bytes are a film.
    let host = Host::serving(&film(5, 9), vec![]).await;
    let links = links(&host, Some(host.link()));
    let visited = Visit { host: &host, links, tries: 0, name: "dl1" };
    let output = stored(visit(&bed, &visited, &no_fault).await);
    assert_eq!(output.last_frame, None);
    let manifest = bed.assets.read_manifest_at(&output.manifest).await.unwrap().unwrap();
    assert!(manifest.findings[0].starts_with("no last frame"), "{:?}", manifest.findings);
}

/// The turn's future is dropped at each moment, as a killed process drops it; the next turn ends
/// the errand, fetching only what is not there yet.
#[tokio::test]
async fn a_turn_that_dies_is_finished_by_the_next() {
    for (dies_at, fetches) in
        [(Moment::Part, 2), (Moment::BeforeManifest, 1), (Moment::Published, 1)]
    {
        let bed = bed();
        let body = film(5, 100_000);
        let host = Host::serving(&body, vec![]).await;
        let (tell, dead) = tokio::sync::mpsc::unbounded_channel();
        let mut dead = dead;
        let dies = move |moment: Moment| {
            let tell = tell.clone();
            async move {
                if moment == dies_at {
                    tell.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            }
            .boxed()
        };
        let first = Visit { host: &host, links: links(&host, None), tries: 0, name: "dl1" };
        tokio::select! {
            brought = visit(&bed, &first, &dies) => panic!("{dies_at:?}: {brought:?}"),
            _ = dead.recv() => {}
        }
        let second = Visit { host: &host, links: links(&host, None), tries: 0, name: "dl2" };
        let output = stored(visit(&bed, &second, &no_fault).await);
        assert_eq!(output.video_sha256, sha256_hex(&body));
        assert_eq!(host.heads().len(), fetches, "{dies_at:?}");
        let manifest = bed.assets.read_manifest_at(&output.manifest).await.unwrap().unwrap();
        bed.assets.verify(&manifest).await.unwrap();
        let by = if dies_at == Moment::Part { "dl2" } else { "dl1" };
        assert_eq!(manifest.video().unwrap().download_attempt_id, by);
    }
}
