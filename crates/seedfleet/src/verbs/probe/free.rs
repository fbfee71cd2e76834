//! The questions that cost nothing: reads, and creates that must be refused.

use super::asker::Asker;
use super::report::{Question, Report};
use crate::exit::{Exit, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use job::TaskId;
use provider::{CreateAnswer, Raw, RawQuestion};
use seedance::TaskPage;
use serde_json::{Value, json};

/// Of the right form, and too old to exist.
const NOBODYS_TASK: &str = "cgt-20200101000000-zzzzz";
/// Rows looked at for the order of a list.
const ROWS: &str = "100";

const LIST_MODEL: Question = (17, "list_model", "may a list be asked for without filter.model?");
const LIST_ORDER: Question = (3, "list_order", "in which order does a list come?");
const EXPIRED: Question = (7, "expired_filter", "does filter.status=expired work?");
const UNKNOWN_GET: Question = (5, "unknown_task_get", "what is the 404 of an unknown task?");
const UNKNOWN_DELETE: Question = (5, "unknown_task_delete", "what is the 404 of deleting one?");
const DELETE_CANCELLED: Question =
    (6, "delete_cancelled", "what does deleting a cancelled task do?");
const RATE: Question = (8, "rate_header", "does a 429 tell how long to wait?");
const SEED: Question = (4, "seed", "does this model family refuse `seed`?");
const TIER: Question = (4, "service_tier", "does it refuse service_tier = \"default\"?");
const REFERENCES: Question = (14, "references_max", "are more than 12 references in all refused?");
const BOUNDS: Question = (14, "image_bounds", "are the documented bounds of an image inside?");

/// Asks the read questions.
///
/// # Errors
///
/// The account cannot list at all: nothing else would be answered.
pub(super) async fn reads(asker: &mut Asker, report: &mut Report) -> Result<(), Failure> {
    list_model(asker, report).await?;
    let page = match asker.list(&[("page_size", ROWS)]).await {
        Ok(listing) => listing.page,
        Err(why) => {
            report.remarks.push(why);
            None
        }
    };
    match page.as_ref().and_then(order) {
        Some(word) => report.add(LIST_ORDER, Some(word), ""),
        None => report.open(LIST_ORDER, "fewer than two tasks of different age in the list"),
    }
    match asker.list(&[("filter.status", "expired"), ("page_size", "1")]).await {
        Ok(listing) => {
            let word = if listing.page.is_some() { "works" } else { "refused" };
            report.add(EXPIRED, Some(word), in_words(&listing.raw));
        }
        Err(why) => report.open(EXPIRED, why),
    }
    for (question, asked) in [
        (UNKNOWN_GET, RawQuestion::Task(NOBODYS_TASK)),
        (UNKNOWN_DELETE, RawQuestion::Delete(NOBODYS_TASK)),
    ] {
        match asker.ask(asked).await {
            Ok(raw) => {
                let code = raw.code.clone().unwrap_or_else(|| format!("http-{}", raw.status));
                report.add(question, Some(code), in_words(&raw));
            }
            Err(why) => report.open(question, why),
        }
    }
    delete_cancelled(asker, report).await;
    rate_header(asker, report).await;
    Ok(())
}

/// How an answer looked.
fn in_words(raw: &Raw) -> String {
    let code = raw.code.as_deref().unwrap_or("no code");
    match raw.status {
        200 => "HTTP 200".to_owned(),
        status => format!("HTTP {status}, {code}: {}", raw.message),
    }
}

async fn list_model(asker: &mut Asker, report: &mut Report) -> Result<(), Failure> {
    let cannot = |why: String| {
        Failure::new(Exit::Failed, "the account cannot list its tasks; nothing else was asked")
            .because(why)
            .hint("`seedfleet doctor` tells what to mend")
    };
    let plain = asker.list(&[("page_size", "1")]).await.map_err(cannot)?;
    if plain.page.is_some() {
        report.add(LIST_MODEL, Some("optional"), "");
        return Ok(());
    }
    asker.names_model = true;
    let named = asker.list(&[("page_size", "1")]).await.map_err(cannot)?;
    if named.page.is_none() {
        return Err(cannot(in_words(&named.raw)));
    }
    let word = if plain.raw.status == 403 { "denied" } else { "missing_parameter" };
    report.add(LIST_MODEL, Some(word), in_words(&plain.raw));
    report.remarks.push(
        "this key may list only with filter.model: a scan asks for each model, one page more per model"
            .to_owned(),
    );
    Ok(())
}

/// The order of a page's creation times, if they differ.
fn order(page: &TaskPage) -> Option<&'static str> {
    let made: Vec<i64> = page.items.iter().filter_map(|task| task.created_at_s).collect();
    let falls = made.windows(2).any(|pair| pair[0] > pair[1]);
    let rises = made.windows(2).any(|pair| pair[0] < pair[1]);
    match (falls, rises) {
        (true, false) => Some("newest_first"),
        (false, true) => Some("oldest_first"),
        (true, true) => Some("unordered"),
        (false, false) => None,
    }
}

/// Deletes a cancelled task of this fleet: there is nothing behind it to lose. Others' are left alone.
async fn delete_cancelled(asker: &Asker, report: &mut Report) {
    let filters = [("filter.status", "cancelled"), ("page_size", ROWS)];
    let page = asker.list(&filters).await.ok().and_then(|listing| listing.page);
    let items = page.map(|page| page.items).unwrap_or_default();
    let ids: Vec<TaskId> = items.iter().filter_map(|task| TaskId::parse(&task.id).ok()).collect();
    let owners = asker.store.owners(&ids).await.unwrap_or_default();
    let ours = ids.iter().zip(owners).find_map(|(id, owner)| owner.map(|_| id));
    let Some(ours) = ours else {
        return report.open(DELETE_CANCELLED, "this fleet has no cancelled task in the list");
    };
    match asker.ask(RawQuestion::Delete(ours.as_str())).await {
        Ok(raw) => {
            let word = match raw.status {
                200 => "done".to_owned(),
                404 => "not_found".to_owned(),
                409 => "conflict".to_owned(),
                status => format!("http-{status}"),
            };
            report.add(DELETE_CANCELLED, Some(word), in_words(&raw));
        }
        Err(why) => report.open(DELETE_CANCELLED, why),
    }
}

async fn rate_header(asker: &Asker, report: &mut Report) {
    let answers = match asker.burst().await {
        Ok(answers) => answers,
        Err(why) => return report.open(RATE, why),
    };
    match answers.iter().find(|raw| raw.status == 429) {
        None => {
            let n = asker.burst_calls();
            report.open(RATE, format!("{n} lists at once, and none was refused"));
        }
        Some(raw) if raw.rate_headers.is_empty() => {
            report.add(RATE, Some("nothing"), in_words(raw));
        }
        Some(raw) => {
            let retry = raw.rate_headers.iter().any(|header| header.starts_with("retry-after"));
            let word = if retry { "retry_after" } else { "other" };
            report.add(RATE, Some(word), raw.rate_headers.join("; "));
        }
    }
}

/// One create that must be refused, and how its refusal is read.
struct Trial {
    question: Question,
    /// What is asked about, with two more faults beside it.
    body: Value,
    /// Words of a refusal that speaks of what is asked about.
    about: &'static [&'static str],
    if_named: &'static str,
    if_not: &'static str,
}

/// Asks by creates that must be refused, each of them wrong in two more ways than asked about.
/// `false`: one was taken, or may have been, and no more are sent.
pub(super) async fn refusals(asker: &Asker, report: &mut Report) -> bool {
    for trial in trials(asker.model_id()) {
        let Trial { question, body, about, if_named, if_not } = trial;
        match asker.create_refused(&body).await {
            Ok(CreateAnswer::Refused(refusal)) => {
                let named = about.iter().any(|word| spoken(&refusal.message).contains(word));
                // The provider names one fault an answer, in no promised order.
                let likely = if named { "" } else { "likely, since another fault was named; " };
                let detail = format!("{likely}{}: {}", refusal.code, refusal.message);
                report.add(question, Some(if named { if_named } else { if_not }), detail);
            }
            Ok(CreateAnswer::NotSent { reason, .. }) | Err(reason) => report.open(question, reason),
            Ok(CreateAnswer::Unclear { kind, reason, .. }) => {
                report.open(question, format!("no clear answer ({kind}): {reason}"));
                report.remarks.push(
                    "a create that should have been refused ended unclear: look for an unexpected task in the console"
                        .to_owned(),
                );
                return false;
            }
            Ok(CreateAnswer::Accepted { task, .. }) => {
                let end = asker.withdraw(&task).await;
                let what = format!("a request with three faults was taken: {task}; {end}");
                report.open(question, what.clone());
                report.remarks.push(what);
                return false;
            }
        }
    }
    true
}

/// A refusal without the id of its request, which may hold any digits.
fn spoken(message: &str) -> &str {
    message.split("Request id").next().unwrap_or_default()
}

fn trials(model: &str) -> Vec<Trial> {
    let text = json!({"type": "text", "text": "not to be made"});
    let plain = |field: Value| {
        let mut body = json!({"model": model, "content": [text], "resolution": "480p",
                              "duration": 3, "ratio": "1:9"});
        for (name, value) in field.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    vec![
        Trial {
            question: SEED,
            body: plain(json!({"seed": 7})),
            about: &["seed`", "`seed", "seed "],
            if_named: "refused",
            if_not: "accepted",
        },
        Trial {
            question: TIER,
            body: plain(json!({"service_tier": "default"})),
            about: &["service_tier"],
            if_named: "refused",
            if_not: "accepted",
        },
        Trial {
            question: REFERENCES,
            body: mixed(model, references()),
            about: &["12", "13", "15"],
            if_named: "12",
            if_not: "15",
        },
        Trial {
            question: BOUNDS,
            body: mixed(model, vec![image(&at_the_bounds(), "reference_image")]),
            about: &["300", "0.4", "0.40", "pixel", "width", "height", "aspect"],
            if_named: "open",
            if_not: "closed",
        },
    ]
}

/// References mixed with a first frame, and a tool that wants text alone: refused twice over.
fn mixed(model: &str, mut content: Vec<Value>) -> Value {
    content.push(image("https://example.com/frame.png", "first_frame"));
    json!({"model": model, "content": content, "resolution": "480p", "duration": 4,
           "tools": [{"type": "web_search"}]})
}

fn item(kind: &str, url: &str, role: &str) -> Value {
    json!({"type": kind, "role": role, kind: {"url": url}})
}

fn image(url: &str, role: &str) -> Value {
    item("image_url", url, role)
}

/// Thirteen: within the bound of each kind, above the older bound of all.
fn references() -> Vec<Value> {
    let mut all = vec![image("https://example.com/a.png", "reference_image"); 9];
    all.extend(vec![item("video_url", "https://example.com/a.mp4", "reference_video"); 3]);
    all.push(item("audio_url", "https://example.com/a.mp3", "reference_audio"));
    all
}

/// A black picture of 300 by 750: the smallest side and the narrowest shape there may be.
fn at_the_bounds() -> String {
    const WIDTH: u32 = 300;
    const HEIGHT: u32 = 750;
    // One bit a pixel, each row in whole words.
    let pixels = vec![0_u8; (WIDTH.div_ceil(32) * 4 * HEIGHT) as usize];
    let head = 14 + 40 + 8;
    let mut file = b"BM".to_vec();
    let length = u32::try_from(head + pixels.len()).unwrap_or(u32::MAX);
    for word in [length, 0, head as u32, 40, WIDTH, HEIGHT, 0x0001_0001, 0] {
        file.extend(word.to_le_bytes());
    }
    for word in [0_u32, 2_835, 2_835, 2, 2, 0x0000_0000, 0x00ff_ffff] {
        file.extend(word.to_le_bytes());
    }
    file.extend(pixels);
    format!("data:image/bmp;base64,{}", STANDARD.encode(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(made: &[i64]) -> TaskPage {
        let items: Vec<Value> = made
            .iter()
            .map(|at| json!({"id": "cgt-1", "status": "running", "created_at": at}))
            .collect();
        TaskPage::parse(json!({"items": items}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_order_is_told_only_from_tasks_of_different_age() {
        assert_eq!(order(&page(&[9, 9, 4])), Some("newest_first"));
        assert_eq!(order(&page(&[4, 9])), Some("oldest_first"));
        assert_eq!(order(&page(&[4, 9, 5])), Some("unordered"));
        assert_eq!(order(&page(&[4, 4])), None);
        assert_eq!(order(&page(&[])), None);
    }

    #[test]
    fn the_id_of_a_request_says_nothing_about_a_fault() {
        assert_eq!(spoken("not valid: too many. Request id: 0217951312"), "not valid: too many. ");
        assert_eq!(spoken("not valid"), "not valid");
    }

    #[test]
    fn every_trial_would_be_refused_without_what_it_asks_about() {
        let rules = seedance::Rules::default();
        for Trial { question, mut body, .. } in trials("dreamina-seedance-2-0-mini-260615") {
            for field in ["seed", "service_tier"] {
                body.as_object_mut().unwrap().remove(field);
            }
            let faults = seedance::validate(seedance::Route::Byteplus, &body, &rules);
            let faults = faults.expect_err(question.1);
            assert!(faults.len() >= 2, "{}: {faults:?}", question.1);
        }
    }
}
