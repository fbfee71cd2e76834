//! Tasks that left no video.

use assets::{Filed, Published};
use downloader::{expected_duration_s, file_payload, filed_without_video};
use job::{By, Cause, End};
use seedance::{Class, Task};

use crate::host::Host;
use crate::jobs::{NOW, TASK, bed, links, record};

fn task(status: &str) -> String {
    serde_json::json!({
        "id": TASK, "status": status,
        "error": (status == "failed").then(|| serde_json::json!({ "code": "OutputVideoSensitive", "message": "no" })),
    })
    .to_string()
}

#[tokio::test]
async fn a_payload_is_filed_once_and_again() {
    let bed = bed();
    let host = Host::serving(&[], vec![]).await;
    let (record, owned) = record(&links(&host, None));
    let cause = Cause {
        code: "OutputVideoSensitive".into(),
        class: Class::Output,
        message: "no".into(),
        task_existed: true,
    };
    let end = End::Failed { cause };
    let payload = task("failed");
    let file = || file_payload(&bed.assets, &record, &owned, &end, &payload, NOW);
    assert_eq!(file().await.unwrap(), Published::New);
    let Published::Already(manifest) = file().await.unwrap() else { panic!("filed twice") };
    assert_eq!(manifest.output(), None);
    assert_eq!(bed.assets.verify(&manifest).await.unwrap().objects, 1);
    let code = Some("OutputVideoSensitive".to_owned());
    assert_eq!(manifest.filed, Filed::Failed { code, message: Some("no".into()) });
    let stored = std::fs::read_to_string(bed.directory.path().join(&manifest.task.path)).unwrap();
    assert_eq!(stored, payload);
}

#[test]
fn the_providers_last_word_decides_how_a_task_is_filed() {
    let filed = |end: &End, status: &str| {
        filed_without_video(end, Task::parse(task(status).as_bytes()).ok().as_ref())
    };
    let timed_out = End::TimedOut;
    assert_eq!(filed(&timed_out, "expired"), Filed::Expired);
    assert_eq!(filed(&timed_out, "cancelled"), Filed::Cancelled);
    assert!(matches!(filed(&timed_out, "failed"), Filed::Failed { .. }));
    let cancelled = End::Cancelled { by: By::named("someone") };
    assert_eq!(filed(&cancelled, "cancelled"), Filed::Cancelled);
    let lost = End::OutputLost { reason: "the link died".into() };
    let expected = Filed::OutputLost { reason: "the link died".into() };
    assert_eq!(filed(&lost, "succeeded"), expected);
    assert!(matches!(filed(&timed_out, "succeeded"), Filed::OutputLost { .. }));
    assert!(matches!(filed_without_video(&timed_out, None), Filed::OutputLost { .. }));
}

#[tokio::test]
async fn the_ordered_length_is_what_is_expected() {
    let host = Host::serving(&[], vec![]).await;
    let (mut record, _) = record(&links(&host, None));
    assert_eq!(expected_duration_s(&record, None), Some(5));
    record.spec.request.duration_s = seedance::DurationChoice::ModelChooses;
    assert_eq!(expected_duration_s(&record, None), None);
    let chosen = serde_json::json!({ "id": TASK, "status": "succeeded", "duration": "8" });
    let chosen = Task::parse(chosen.to_string().as_bytes()).unwrap();
    assert_eq!(expected_duration_s(&record, Some(&chosen)), Some(8));
}
