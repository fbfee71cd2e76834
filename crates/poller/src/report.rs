//! From the provider's task to what the machine understands. Pure.

use job::{Cause, Links, Outlook, TaskReport, Timestamp};
use seedance::{ErrorTable, Task, TaskStatus};
use std::time::Duration;

/// Characters of the provider's message that the record keeps.
const MESSAGE_CHARS_MAX: usize = 600;

/// What `task` says, `raw` being the body it was read from.
///
/// `link_life` is the life of a link whose signature does not tell, counted from the task's last
/// change, or from `now` when that is not told either. `outlook` is what is known of the end of a task that
/// is in progress.
#[must_use]
pub fn report(
    task: &Task,
    raw: &str,
    now: Timestamp,
    link_life: Duration,
    outlook: Outlook,
) -> TaskReport {
    let payload = raw.to_owned();
    match &task.status {
        TaskStatus::Queued | TaskStatus::Running => in_progress(task.status.word(), false, outlook),
        TaskStatus::Unknown(word) => in_progress(word, true, outlook),
        TaskStatus::Succeeded => match Links::of_task(task, now, link_life) {
            Some(links) => TaskReport::Succeeded { links, payload },
            None => TaskReport::SucceededWithoutVideo { payload },
        },
        TaskStatus::Failed => TaskReport::Failed { cause: cause(task), payload },
        TaskStatus::Expired => TaskReport::Expired { payload },
        TaskStatus::Cancelled => TaskReport::Cancelled { payload },
    }
}

fn in_progress(word: &str, unknown: bool, outlook: Outlook) -> TaskReport {
    TaskReport::InProgress { word: word.to_owned(), unknown, outlook }
}

fn cause(task: &Task) -> Cause {
    let code = task.error.as_ref().and_then(|e| e.code.as_deref());
    let message = task.error.as_ref().map_or("", |e| e.message.as_str());
    let classified = ErrorTable::builtin().classify_task(code, message);
    Cause {
        code: code.unwrap_or("unknown").to_owned(),
        class: classified.class,
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        task_existed: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix_s(1_790_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn read(body: serde_json::Value) -> TaskReport {
        let raw = body.to_string();
        report(&Task::parse(raw.as_bytes()).unwrap(), &raw, NOW, DAY, Outlook::default())
    }

    // covers: M7/queued, M7/running
    #[test]
    fn work_in_progress_and_words_we_do_not_know_are_never_an_end() {
        for (word, unknown) in [("queued", false), ("running", false), ("rendering", true)] {
            let seen = read(json!({"id": "cgt-1", "status": word}));
            assert_eq!(seen, in_progress(word, unknown, Outlook::default()));
        }
    }

    #[test]
    fn a_link_dies_when_its_signature_says_so() {
        let url = "https://b.volces.com/v.mp4?X-Tos-Date=20260921T142640Z&X-Tos-Expires=3600";
        let body = json!({"id": "a", "status": "succeeded", "content": {"video_url": url}});
        let TaskReport::Succeeded { links, .. } = read(body) else { panic!("not a success") };
        assert_eq!(links.die_at.rfc3339(), "2026-09-21T15:26:40.000Z");
    }

    #[test]
    fn a_link_without_a_signature_lives_from_the_tasks_last_change() {
        let content = json!({"video_url": "https://b.volces.com/v.mp4"});
        let body = json!({"id": "a", "status": "succeeded", "updated_at": 1_789_999_000,
                          "content": content});
        let TaskReport::Succeeded { links, .. } = read(body) else { panic!("not a success") };
        assert_eq!(links.die_at, Timestamp::from_unix_s(1_789_999_000) + DAY);
    }

    // covers: M12
    #[test]
    fn a_success_without_a_link_is_not_a_success() {
        let seen = read(json!({"id": "a", "status": "succeeded", "content": {"video_url": ""}}));
        assert!(matches!(seen, TaskReport::SucceededWithoutVideo { .. }));
    }

    #[test]
    fn a_failure_keeps_code_message_and_class() {
        let error = json!({"code": "OutputVideoSensitiveContentDetected", "message": "m"});
        let seen = read(json!({"id": "a", "status": "failed", "error": error}));
        let TaskReport::Failed { cause, .. } = seen else { panic!("not a failure") };
        assert_eq!(cause.code, "OutputVideoSensitiveContentDetected");
        assert_eq!(cause.class, seedance::Class::Output);
        assert!(cause.task_existed);
    }
}
