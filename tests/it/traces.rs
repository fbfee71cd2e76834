//! One job as an OTLP receiver sees it: spans from every program it goes through, linked to its
//! caller's trace; and a receiver that takes nothing changes nothing.

mod receiver;

use e2e::kit::{ALICE, BOUND, Fleet, Options, Receiver, text};
use job::JobId;
use receiver::{Mood, OtlpReceiver, Seen, is_of_spans};
use reqwest::Method;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const TOKEN: &str = "canary-otlp-token-6d%2F1f0c";
const PROMPT: &str = "canary-prompt of a lighthouse";

fn config(otlp: &OtlpReceiver, more: &str) -> String {
    format!("[telemetry]\notlp_endpoint = \"{}\"\n{more}", otlp.origin())
}

/// The whole fleet, with a notifier that may call this receiver of webhooks.
fn fleet(otlp: &OtlpReceiver, hooks: &Receiver, more: &str) -> Fleet {
    let mut options = Options::with_gateway();
    options.roles.push("notifier");
    let origins = format!("[webhooks]\nallow_origins = [\"{}\"]\n", hooks.origin());
    let fleet = Fleet::start(options.config(&origins).config(&config(otlp, more)));
    let endpoint = json!({"url": hooks.url("/hook"), "types": ["job.succeeded"]});
    let made = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/webhook-endpoints", ALICE);
    assert_eq!(fleet.send(made.json(&endpoint)).status, 201);
    fleet
}

fn post(fleet: &Fleet, prompt: &str, traceparent: Option<&str>) -> JobId {
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", ALICE);
    let request = request.json(&Value::from(text(prompt)));
    let reply = fleet.send(match traceparent {
        Some(context) => request.header("traceparent", context),
        None => request,
    });
    assert_eq!(reply.status, 202, "{}", reply.body);
    JobId::parse(reply.body["id"].as_str().unwrap_or_default()).unwrap()
}

/// The spans that a job leaves where each program had its turn.
const WAY: [(&str, &str, &str); 5] = [
    ("seedfleet-gateway", "send jobs", ""),
    ("seedfleet-submitter", "process jobs", "submit"),
    ("seedfleet-poller", "process jobs", "poll"),
    ("seedfleet-downloader", "process jobs", "download"),
    ("seedfleet-notifier", "deliver webhook", ""),
];

/// Waits until every program has told of the job; all of its spans then.
fn whole_way(fleet: &Fleet, otlp: &OtlpReceiver, id: &JobId) -> Vec<Seen> {
    fleet.until("a span of every program", || {
        let spans = otlp.of_job(id.as_str());
        let told = |(service, name, step): (&str, &str, &str)| {
            let fits = |s: &&Seen| s.service == service && s.name == name && s.text("step") == step;
            spans.iter().any(|span| fits(&span))
        };
        WAY.iter().all(|way| told(*way)).then_some(spans)
    })
}

/// Waits until what the steps of a job did is told, each within its run.
fn parts_lie_within_their_runs(fleet: &Fleet, otlp: &OtlpReceiver, id: &JobId) {
    for (service, name) in [
        ("seedfleet-submitter", "begin attempt"),
        ("seedfleet-submitter", "create task"),
        ("seedfleet-poller", "look at task"),
        ("seedfleet-downloader", "download output"),
    ] {
        fleet.until("a part of a run", || {
            let (all, runs) = (otlp.spans(), otlp.of_job(id.as_str()));
            all.iter()
                .filter(|span| (span.service.as_str(), span.name.as_str()) == (service, name))
                .any(|part| runs.iter().any(|run| part.is_part_of(run)))
                .then_some(())
        });
    }
}

#[test]
fn one_jobs_spans_arrive_from_every_program_linked_to_its_callers_trace() {
    let (otlp, hooks) = (OtlpReceiver::start(), Receiver::start());
    let headers = sandbox::TempDir::new("otlp").unwrap();
    let file = headers.path().join("headers");
    std::fs::write(&file, format!("# ours\nAuthorization: Bearer {TOKEN}\n")).unwrap();
    let more =
        format!("otlp_headers_file = \"{}\"\notlp_metrics_every = \"200ms\"\n", file.display());
    let fleet = fleet(&otlp, &hooks, &more);
    let id = post(&fleet, PROMPT, Some(&format!("00-{TRACE}-{CALLER}-01")));
    let record = fleet.wait(&id, "succeeded");
    let kept = record.spec.traceparent.as_deref();
    assert_eq!(kept, Some(format!("00-{TRACE}-{CALLER}-01").as_str()), "the caller's own");

    let spans = whole_way(&fleet, &otlp, &id);
    for span in &spans {
        let place = format!("{}: {}", span.service, span.name);
        if span.service == "seedfleet-gateway" {
            assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, CALLER), "{place}");
            assert_eq!(span.text("outcome"), "created");
            continue;
        }
        assert_ne!(span.trace, TRACE, "{place}: a trace of its own");
        assert_eq!(span.links, [(TRACE.to_owned(), CALLER.to_owned())], "{place}");
        assert!(span.parent.is_empty() && span.ends >= span.begins, "{place}");
    }
    parts_lie_within_their_runs(&fleet, &otlp, &id);
    let task = record.life.state.task().unwrap().id.to_string();
    fleet.until("the create that bought the task", || {
        let all = otlp.spans();
        let bought = |span: &Seen| span.name == "create task" && span.text("task_id") == task;
        let create = all.iter().find(|span| bought(span))?;
        (create.text("outcome") == "accepted").then_some(())
    });

    fleet.until("metrics of every program", || {
        let heard = otlp.metrics();
        let has = |role: &str, name: &str| {
            heard.contains(&(format!("seedfleet-{role}"), name.to_owned()))
        };
        let told = [
            ("gateway", "seedfleet_jobs_accepted_total"),
            ("submitter", "seedfleet_submit_attempts_total"),
            ("poller", "seedfleet_polls_total"),
            ("downloader", "seedfleet_downloads_total"),
            ("notifier", "seedfleet_webhook_deliveries_total"),
        ];
        told.iter().all(|(role, name)| has(role, name)).then_some(())
    });
    let heard = otlp.heard();
    assert!(
        heard.iter().all(|request| request.header("authorization") == format!("Bearer {TOKEN}"))
    );
    let links = fleet.media_address().to_owned();
    for canary in [PROMPT, TOKEN, ALICE, "canary-provider-key", "X-Tos-Signature", &links] {
        let told = heard.iter().any(|request| request.contains(canary));
        assert!(!told, "{canary} was told to the receiver");
    }
    assert!(!fleet.logs().contains(TOKEN), "the headers are in no log");
}

#[test]
fn the_callers_flag_decides_and_a_job_without_a_caller_has_a_trace_of_its_own() {
    let (otlp, hooks) = (OtlpReceiver::start(), Receiver::start());
    let fleet = fleet(&otlp, &hooks, "");
    let unwanted = post(&fleet, "nobody looks", Some(&format!("00-{TRACE}-{CALLER}-00")));
    fleet.wait(&unwanted, "succeeded");
    let own = post(&fleet, "nobody asks", None);
    let record = fleet.wait(&own, "succeeded");
    let spans = whole_way(&fleet, &otlp, &own);
    let intake = spans.iter().find(|span| span.name == "send jobs").unwrap();
    assert!(intake.parent.is_empty() && intake.links.is_empty());
    let context = format!("00-{}-{}-01", intake.trace, intake.span);
    assert_eq!(record.spec.traceparent, Some(context), "the job keeps the way back to its intake");
    for span in spans.iter().filter(|span| span.name != "send jobs") {
        assert_eq!(span.links, [(intake.trace.clone(), intake.span.clone())], "{}", span.name);
    }
    // Every program sends in order, and told of the later job: of the earlier one there was nothing.
    assert!(otlp.of_job(unwanted.as_str()).is_empty(), "{:#?}", otlp.of_job(unwanted.as_str()));
}

#[test]
fn a_receiver_that_refuses_or_hangs_slows_and_fails_nothing() {
    for mood in [Mood::Refuses, Mood::Hangs] {
        let otlp = OtlpReceiver::start();
        otlp.be(mood);
        let more = "otlp_queue_max = 1\notlp_timeout = \"60s\"\notlp_flush_max = \"300ms\"\n\
                    otlp_metrics_every = \"200ms\"\n";
        let options = Options::with_gateway().config(&config(&otlp, more));
        let fleet = Fleet::start(options);
        let mut ids: Vec<JobId> =
            (0..6).map(|n| post(&fleet, &format!("film {n}"), None)).collect();
        fleet.wait_stored(&ids);
        let result = match mood {
            Mood::Hangs => "dropped",
            Mood::Refuses | Mood::Takes => "failed",
        };
        let counted = |role: &str| {
            let metrics = fleet.metrics(role);
            let line = metrics.lines().find(|line| {
                line.starts_with("seedfleet_trace_spans_total")
                    && line.contains(&format!("\"{result}\""))
            });
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        if mood == Mood::Hangs {
            // One batch is on its way for ever; of what follows, one span finds room in the queue.
            fleet.until("a request that hangs", || {
                let heard = otlp.heard();
                heard.iter().any(|sent| is_of_spans(sent, "seedfleet-submitter")).then_some(())
            });
            ids.extend((6..8).map(|n| post(&fleet, &format!("film {n}"), None)));
            fleet.wait_stored(&ids);
        }
        fleet.until("spans counted as lost", || (counted("submitter") > 0.0).then_some(()));
        for role in ["gateway", "submitter", "poller", "downloader"] {
            let process = fleet.role(role);
            process.signal("TERM").unwrap();
            let ended = process.wait_bounded(BOUND);
            assert!(ended.is_some_and(|status| status.success()), "{role}: {ended:?}, {mood:?}");
        }
        fleet.audit(&ids);
    }
}
