//! What a delivery says: an envelope with the names of CloudEvents and of Standard Webhooks, and in it
//! little. The prompt, links and provider's words stay with us; who wants more asks for the job.

use job::{End, Record, State};
use serde_json::{Map, Value, json};
use store::HookEvent;

/// The body. `record`: the job as it stands now, where it is still there.
pub(crate) fn body(event: &HookEvent, record: Option<&Record>, public_url: &str) -> Vec<u8> {
    let at = event.at.rfc3339();
    let base = public_url.trim_end_matches('/');
    let mut envelope = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": format!("{base}/v1"),
        "type": event.kind,
        "time": at,
        "timestamp": at,
        "datacontenttype": "application/json",
    });
    let subject = event.job.as_ref().or(event.batch.as_ref()).or(event.endpoint.as_ref());
    if let Some(subject) = subject {
        envelope["subject"] = Value::from(subject.as_str());
    }
    envelope["data"] = Value::Object(data(event, record, base));
    envelope.to_string().into_bytes()
}

fn data(event: &HookEvent, record: Option<&Record>, base: &str) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let object = if event.job.is_some() {
        "job"
    } else if event.batch.is_some() {
        "batch"
    } else {
        "webhook_endpoint"
    };
    put("object", Some(object.into()));
    put("id", text(&event.job).or(text(&event.batch)).or(text(&event.endpoint)));
    put("state", text(&event.state));
    put("from", text(&event.from));
    put("reason", text(&event.reason));
    put("seq", Some(event.seq.into()));
    if event.job.is_some() {
        put("batch", text(&event.batch));
    }
    if let Some(record) = record {
        put("custom_id", record.spec.custom_id.as_deref().map(Value::from));
        let notes = &record.spec.metadata;
        put("metadata", (!notes.is_empty()).then(|| json!(notes)));
        put("error", failure(event, &record.life.state));
    }
    if let Some(job) = &event.job {
        put("links", Some(json!({"self": format!("{base}/v1/jobs/{job}")})));
    }
    put("replayed", event.replayed.then_some(true.into()));
    data
}

/// The code of a failure, while the job still stands where this event left it.
fn failure(event: &HookEvent, state: &State) -> Option<Value> {
    if event.state.as_deref() != Some(state.word().as_str()) {
        return None;
    }
    let State::Finished { end, .. } = state else { return None };
    match end {
        End::Failed { cause } => {
            Some(json!({"code": cause.code, "class": cause.class.word(), "retryable": false}))
        }
        End::Expired { retryable } => Some(json!({"code": "expired", "retryable": retryable})),
        End::OutputLost { .. } => Some(json!({"code": "output-lost", "retryable": false})),
        End::TimedOut => Some(json!({"code": "timed-out", "retryable": false})),
        End::NotUseful => Some(json!({"code": "not-useful", "retryable": false})),
        End::Stored { .. } | End::Cancelled { .. } | End::Rejected { .. } | End::GivenUp { .. } => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Timestamp;

    #[test]
    fn both_families_of_names_are_there_and_nothing_that_was_asked() {
        let event = HookEvent {
            id: "evt_1-0".into(),
            kind: "job.succeeded".into(),
            at: Timestamp::from_unix_ms(1_790_000_000_000),
            job: Some("job_1".into()),
            batch: Some("spring".into()),
            from: Some("downloading".into()),
            state: Some("succeeded".into()),
            endpoint: None,
            reason: None,
            seq: 7,
            replayed: false,
        };
        let told: Value =
            serde_json::from_slice(&body(&event, None, "https://f.example/")).unwrap();
        for name in ["specversion", "id", "source", "type", "time", "timestamp", "data"] {
            assert!(told[name].is_string() || told[name].is_object(), "{name}: {told}");
        }
        assert_eq!(told["data"]["links"]["self"], "https://f.example/v1/jobs/job_1");
        assert_eq!(told["data"]["seq"], 7);
        assert_eq!(told["time"], told["timestamp"]);
    }
}
