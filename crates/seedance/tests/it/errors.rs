//! The error table: every row, every status, every call.

use std::collections::BTreeSet;

use proptest::prelude::*;
use seedance::{Call, Class, Created, ErrorTable, FAULT_CODES, Retry, TableError, WARNING_CODES};

fn table() -> &'static ErrorTable {
    ErrorTable::builtin()
}

/// Statuses at which the contract lets us believe that a create call made nothing (§7.3).
fn refusal(status: u16) -> bool {
    (300..=499).contains(&status) && !matches!(status, 408 | 424 | 499)
}

#[test]
fn every_row_is_found_by_its_own_code() {
    for rule in table().rules() {
        for &call in &rule.calls {
            let message = rule.message_contains.as_deref().unwrap_or("");
            let found = table().classify(call, rule.http, Some(&rule.code), message);
            assert_eq!(found.class, rule.class, "{} on {call}", rule.code);
            assert_eq!(found.created, rule.created, "{} on {call}", rule.code);
            assert_eq!(found.retry, rule.retry, "{} on {call}", rule.code);
            if !(call == Call::Create && rule.created == Created::Unknown) {
                assert_eq!(found.rule_code, rule.code);
                assert_eq!(found.advice, rule.advice);
            }
            let below = format!("{}.SomethingNew", rule.code);
            let found = table().classify(call, rule.http, Some(&below), message);
            if rule.prefix {
                assert_eq!(found.class, rule.class, "{below} on {call}");
            } else {
                assert_ne!(found.rule_code, rule.code, "{below} on {call}");
            }
        }
    }
}

#[test]
fn every_status_has_a_class_on_every_call() {
    for call in Call::ALL {
        for status in 0..=1_000 {
            for code in [None, Some(""), Some("SomethingNew"), Some("Something.New.")] {
                let found = table().classify(call, status, code, "");
                let expected = if call == Call::Create && !refusal(status) {
                    (Class::Ambiguous, Created::Unknown)
                } else {
                    (found.class, Created::No)
                };
                assert_eq!((found.class, found.created), expected, "{call} {status} {code:?}");
                assert_ne!(
                    (call != Call::Create, found.class),
                    (true, Class::Ambiguous),
                    "a call that buys nothing is never in doubt: {call} {status}"
                );
            }
        }
    }
}

#[test]
fn no_code_makes_a_doubtful_create_certain() {
    for status in (0..=1_000).filter(|status| !refusal(*status)) {
        for rule in table().rules() {
            let message = rule.message_contains.as_deref().unwrap_or("");
            let found = table().classify(Call::Create, status, Some(&rule.code), message);
            let doubt = (Class::Ambiguous, Created::Unknown, Retry::AfterSettling);
            assert_eq!((found.class, found.created, found.retry), doubt, "{status} {}", rule.code);
        }
    }
}

#[test]
fn the_documented_statuses_without_a_code() {
    for (call, status, class, alert) in [
        (Call::Create, 307, Class::Input, true),
        (Call::Create, 400, Class::Input, true),
        (Call::Create, 401, Class::Auth, true),
        (Call::Create, 404, Class::Account, true),
        (Call::Create, 413, Class::Input, false),
        (Call::Create, 418, Class::Input, true),
        (Call::Create, 429, Class::Rate, false),
        (Call::Retrieve, 403, Class::Auth, true),
        (Call::Retrieve, 404, Class::State, false),
        (Call::Delete, 404, Class::State, false),
        (Call::Delete, 409, Class::State, true),
        (Call::List, 404, Class::Account, true),
        (Call::List, 408, Class::Server, false),
        (Call::Retrieve, 502, Class::Server, false),
        (Call::Retrieve, 200, Class::Server, false),
    ] {
        let found = table().classify(call, status, None, "");
        assert_eq!((found.class, found.alert), (class, alert), "{call} {status}");
    }
    let coded = table().classify(Call::Create, 404, Some("SomethingNew"), "");
    assert_eq!(coded.class, Class::Input, "an answer of the service itself is about the request");
}

#[test]
fn one_code_three_meanings() {
    let classify = |code, message| table().classify(Call::Create, 429, Some(code), message);
    let trial = classify("QuotaExceeded", "Your free trial quota has been used.");
    assert_eq!((trial.class, trial.alert), (Class::Account, true));
    let queued = classify("QuotaExceeded", "You have exceeded the quota.");
    assert_eq!((queued.class, queued.retry), (Class::Capacity, Retry::BackoffLong));
    for code in ["QuotaExceeded", "AccountQuotaExceeded", "QuotaExceeded.AgentPlanQuotaExceeded"] {
        for message in [
            "Used up. It will reset at 2026-10-05 00:00:00 +0800 CST. Request id: 02ab",
            "RESET AT 2026-10-05 00:00:00 +0800 CST",
        ] {
            let pause = classify(code, message);
            assert_eq!(pause.class, Class::Pause, "{code}");
            assert_eq!(pause.resets_at.as_deref(), Some("2026-10-05 00:00:00 +0800 CST"));
            assert_eq!(pause.resets_at_unix_s(), Some(1_791_129_600));
        }
    }
    let vague = classify("QuotaExceeded", "It will reset at midnight");
    assert_eq!((vague.class, vague.resets_at), (Class::Pause, None), "no time is made up");
    let other =
        table().classify(Call::Create, 429, Some("RateLimitExceeded"), "free trial reset at");
    assert_eq!(other.class, Class::Rate, "text means something only where the table says so");
}

#[test]
fn longer_beginnings_win() {
    let found = table().classify(Call::Create, 403, Some("OperationDenied.ServiceOverdue"), "");
    assert_eq!(found.class, Class::Account);
    let found = table().classify(Call::Create, 403, Some("OperationDenied.Brand.New"), "");
    assert_eq!((found.class, found.rule_code.as_str()), (Class::Input, "OperationDenied"));
    let glued = table().classify(Call::Create, 403, Some("OperationDeniedX"), "");
    assert_eq!(glued.rule_code, "http-403", "a beginning ends at a dot");
}

#[test]
fn a_not_found_answer_means_other_things_to_create() {
    let read = table().classify(Call::Retrieve, 404, Some("NotFound.TaskId"), "");
    assert_eq!((read.class, read.retry), (Class::State, Retry::ReadAgain));
    let create = table().classify(Call::Create, 404, Some("NotFound.TaskId"), "");
    assert_eq!((create.class, create.created), (Class::Input, Created::No));
}

#[test]
fn failed_tasks_allow_a_new_one_only_where_it_is_known_to_help() {
    for (code, class, retry) in [
        ("OutputVideoSensitiveContentDetected", Class::Output, Retry::NewTaskByPolicy),
        (
            "OutputAudioSensitiveContentDetected.PolicyViolation",
            Class::Output,
            Retry::NewTaskByPolicy,
        ),
        ("InputImageSensitiveContentDetected.PrivacyInformation", Class::Content, Retry::Never),
        ("InvalidParameter.TaskTypeMismatch", Class::Input, Retry::Never),
        ("InvalidParameter.New", Class::Input, Retry::Never),
        ("InternalServiceError", Class::Server, Retry::NewTask),
        ("InternalServiceError.New", Class::Input, Retry::Hold),
        ("SomethingNew", Class::Input, Retry::Hold),
        ("", Class::Input, Retry::Hold),
    ] {
        let found = table().classify_task(Some(code), "");
        assert_eq!((found.class, found.retry), (class, retry), "{code}");
        assert_eq!(found.alert, retry == Retry::Hold);
    }
    assert_eq!(table().classify_task(None, "").retry, Retry::Hold);
}

#[test]
fn every_code_of_ours_has_advice() {
    let told: BTreeSet<&str> = table().own_rules().iter().map(|own| own.code.as_str()).collect();
    assert_eq!(told.len(), table().own_rules().len(), "each code once");
    for code in FAULT_CODES.iter().chain(WARNING_CODES) {
        assert!(told.contains(code), "{code} has no advice");
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        assert!(!table().own(code).unwrap().advice.is_empty());
    }
    assert_eq!(table().own("no-such-code"), None);
}

#[test]
fn rows_are_unique_and_each_gives_advice() {
    let mut seen = BTreeSet::new();
    for rule in table().rules() {
        assert!(!rule.advice.is_empty() && !rule.calls.is_empty(), "{}", rule.code);
        for &call in &rule.calls {
            let key = (rule.code.clone(), call, rule.message_contains.clone());
            assert!(seen.insert(key), "{} stands twice for {call}", rule.code);
        }
    }
}

#[test]
fn a_table_with_a_gap_is_refused() {
    let text = "rule = []\ntask = []\nown = []\n[[status]]\nname = \"a\"\nfrom = 0\nto = 499\n\
        class = \"input\"\ncreated = \"no\"\nretry = \"never\"\nadvice = \"a\"\n";
    let gap = ErrorTable::parse(text);
    assert!(matches!(gap, Err(TableError::Gap { status: 500, .. })), "{gap:?}");
    assert!(ErrorTable::parse(&text.replace("499", "65535")).is_ok());
    assert!(matches!(ErrorTable::parse("rules = []"), Err(TableError::Form(_))));
}

fn a_code() -> impl Strategy<Value = String> {
    let known: Vec<String> = table().rules().iter().map(|rule| rule.code.clone()).collect();
    prop_oneof![
        "\\PC{0,30}",
        prop::sample::select(known.clone()),
        (prop::sample::select(known), "[.A-Za-z]{0,12}").prop_map(|(code, tail)| code + &tail),
    ]
}

proptest! {
    #[test]
    fn any_answer_is_sorted(
        call in prop::sample::select(Call::ALL.to_vec()),
        status in any::<u16>(),
        code in prop::option::of(a_code()),
        message in "(\\PC{0,20}(reset at |free trial))?[-0-9: +A-Z]{0,30}\\PC{0,20}",
    ) {
        let found = table().classify(call, status, code.as_deref(), &message);
        let _ = found.resets_at_unix_s();
        if call == Call::Create && found.created == Created::No {
            prop_assert!(refusal(status), "{} believed at {}", found.rule_code, status);
        }
        prop_assert!(!found.advice.is_empty() && !found.rule_code.is_empty());
        let _ = table().classify_task(code.as_deref(), &message);
    }
}
