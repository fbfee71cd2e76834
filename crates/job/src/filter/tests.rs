use super::*;
use crate::docs::{record, records};
use crate::{Priority, State};
use proptest::prelude::*;

const H: Duration = Duration::from_secs(3_600);

fn now() -> Timestamp {
    record(State::Queued { tries: 0 }).created_at + H
}

fn fits(text: &str, record: &Record) -> bool {
    Filter::parse(text).expect("a filter").fits(record, now())
}

fn refused(text: &str) -> String {
    Filter::parse(text).expect_err("no filter").to_string()
}

#[test]
fn conditions_must_all_hold() {
    let mut job = record(State::Queued { tries: 0 });
    job.spec.batch = Some("b_1".into());
    job.spec.custom_id = Some("row, \"7\"".into());
    job.spec.priority = Priority::Low;
    for text in [
        "",
        "  ",
        "state=queued",
        "state=failed,queued batch=b_1",
        "state!=failed code!=X class!=content",
        "tenant=default model=seedance-2.0 source=api priority=low",
        "model=dreamina-seedance-2-0-260128",
        "custom_id=\"row, \\\"7\\\"\"",
        "age>59m age<1h1ms",
        "created>2020-01-01 updated<2030-01-01T00:00:00+01:00",
        "end_user!=eve batch!=b_2",
    ] {
        assert!(fits(text, &job), "{text}");
    }
    for text in [
        "state=queued batch=b_2",
        "state!=queued",
        "state=queued state=failed",
        "age>1h",
        "age<1h",
        "end_user=eve",
        "custom_id=row",
        "created<2020-01-01",
        "resolution=4k",
    ] {
        assert!(!fits(text, &job), "{text}");
    }
}

#[test]
fn what_failed_is_found_by_code_and_class() {
    let failed = records().into_iter().find(|r| r.life.state.word() == StateWord::Failed);
    let failed = failed.expect("a sample of every state");
    let code = failed.life.state.failure_code().expect("a code").to_owned();
    assert!(fits(&format!("code={code} class=output"), &failed));
    assert!(!fits("class=content", &failed));
    for job in records() {
        let by_code = Filter::all().code("output-lost");
        let lost = job.life.state.word() == StateWord::OutputLost;
        assert_eq!(by_code.fits(&job, now()), lost, "{:?}", job.life.state);
    }
}

#[test]
fn a_refusal_names_the_field_what_is_allowed_and_the_nearest() {
    for (text, words) in [
        ("stat=failed", ["no field is called \"stat\"", "did you mean state?", "custom_id"]),
        ("state=faild", ["state has no value \"faild\"", "did you mean failed?", "in_doubt"]),
        ("state>failed", ["state cannot be compared by >", "`=` or `!=`", "queued"]),
        ("age=1h", ["age cannot be compared by =", "older", "7d"]),
        ("age>90", ["age has the value \"90\"", "length of time", "90s"]),
        ("age>1h,2h", ["age takes one value", "older", "90s"]),
        ("age>11000d", ["age has the value \"11000d\"", "ten years", "90s"]),
        ("created>yesterday", ["created has the value \"yesterday\"", "2026-11-23", "later"]),
        ("batch", ["batch stands alone", "`=`", "quotes"]),
        ("batch=", ["batch lacks a value", "`=`", "quotes"]),
        ("batch=\"\"", ["batch has an empty value", "`=`", "quotes"]),
        ("batch=\"x", ["a quote that is not closed", "`=`", "quotes"]),
        ("batch=\"x\"y", ["goes on behind the closing quote", "`=`", "quotes"]),
        ("batch=x\"y", ["a quote inside", "`=`", "quotes"]),
        ("=x", ["begins without a field", "fields are", "state"]),
    ] {
        let said = refused(text);
        for word in words {
            assert!(said.contains(word), "{text}: {said}");
        }
    }
    let long = format!("batch={}", "x".repeat(FILTER_BYTES_MAX));
    assert!(refused(&long).contains("4096 are read"));
    let many: String = (0..=CONDITIONS_MAX).map(|n| format!("batch=b{n} ")).collect();
    assert!(refused(&many).contains("more than 32 conditions"));
    let values: Vec<String> = (0..=VALUES_MAX).map(|n| n.to_string()).collect();
    assert!(refused(&format!("batch={}", values.join(","))).contains("more than 100 values"));
}

#[test]
fn equal_filters_have_one_text() {
    let one = Filter::parse("age>90m  state=Failed,expired state=expired,failed").expect("read");
    let other = Filter::parse("state=expired,failed age>1h30m").expect("read");
    assert_eq!((&one, one.digest()), (&other, other.digest()));
    assert_eq!(one.to_string(), "state=expired,failed age>1h30m");
    assert_ne!(one.digest(), Filter::all().digest());
    let built = Filter::all().states([StateWord::Failed]).tenant("a b").batch("x").code("c");
    assert_eq!(built.to_string(), "state=failed code=c tenant=\"a b\" batch=x");
}

#[test]
fn an_index_can_be_chosen_by_what_a_filter_leaves() {
    let filter =
        Filter::parse("state!=failed code=a,b code=c created>1970-01-02 age>1h").expect("read");
    assert_eq!(filter.possible_states(), [StateWord::OutputLost]);
    assert_eq!(filter.one_of(Field::Code), Some(&BTreeSet::from(["c".to_owned()])));
    assert_eq!(filter.one_of(Field::State), None);
    let (first, last) = filter.created_within(Timestamp::from_unix_ms(200_000_000));
    assert_eq!(first, Some(Timestamp::from_unix_ms(86_400_001)));
    assert_eq!(last, Some(Timestamp::from_unix_ms(196_399_999)));
    assert_eq!(Filter::all().possible_states().len(), StateWord::ALL.len());
}

/// Any filter at all, by its text.
fn text() -> impl Strategy<Value = String> {
    let words = |field: Field| {
        let words = field.words_allowed();
        let value = prop::sample::select(words).prop_map(str::to_owned);
        (Just(field), any::<bool>(), prop::collection::vec(value, 1..4))
    };
    let texts = |field: Field| {
        (Just(field), any::<bool>(), prop::collection::vec("\\PC{1,12}|[ -~]{1,8}", 1..4))
    };
    let is = prop_oneof![
        prop::sample::select(&Field::ALL[..])
            .prop_filter_map("words", |field| {
                (!field.words_allowed().is_empty()).then_some(field)
            })
            .prop_flat_map(words),
        prop::sample::select(vec![
            Field::Code,
            Field::Tenant,
            Field::Batch,
            Field::CustomId,
            Field::EndUser
        ])
        .prop_flat_map(texts),
    ]
    .prop_map(|(field, not, values)| {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        format!("{}{}{}", field.word(), if not { "!=" } else { "=" }, values.join(","))
    });
    let age = (any::<bool>(), 0..AGE_MAX.as_secs())
        .prop_map(|(older, s)| format!("age{}{s}s", if older { ">" } else { "<" }));
    let instant = (any::<bool>(), any::<bool>(), 0..4_000_000_000_000_i64).prop_map(
        |(updated, later, ms)| {
            let field = if updated { "updated" } else { "created" };
            let at = Timestamp::from_unix_ms(ms).rfc3339();
            format!("{field}{}{at}", if later { ">" } else { "<" })
        },
    );
    prop::collection::vec(prop_oneof![3 => is, 1 => age, 1 => instant], 0..6)
        .prop_map(|conditions| conditions.join("  "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canonical_text_reads_back(text in text()) {
        let filter = Filter::parse(&text).expect("a filter");
        let canonical = filter.to_string();
        let again = Filter::parse(&canonical).expect("its canonical text");
        prop_assert_eq!(again.to_string(), canonical);
        prop_assert_eq!(&again, &filter);
        for job in records() {
            let fits = filter.fits(&job, now());
            prop_assert_eq!(again.fits(&job, now()), fits);
            // What the indexes are chosen by never leaves out a job that fits.
            let (first, last) = filter.created_within(now());
            let created = job.created_at;
            let within = first.is_none_or(|at| created >= at) && last.is_none_or(|at| created <= at);
            let state = filter.possible_states().contains(&job.life.state.word());
            prop_assert!(!fits || (within && state));
        }
    }
}

#[test]
fn fuzz_filter() {
    let words: Vec<&str> = Field::ALL.iter().map(|field| field.word()).collect();
    let signs = ["=", "!=", ">", "<", ",", "\"", "\\", " ", "1h", "failed", "2026-11-23", "d"];
    fuzz::run("filter", &[words.as_slice(), signs.as_slice()].concat(), |input| {
        let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
        match Filter::parse(text) {
            Ok(filter) => {
                let canonical = filter.to_string();
                let again = Filter::parse(&canonical).expect("its canonical text");
                assert_eq!(again, filter, "{canonical}");
                format!("{:?}", filter.conditions.iter().map(|c| c.field).collect::<Vec<_>>())
            }
            Err(error) => {
                assert!(!error.what.is_empty() && !error.allowed.is_empty());
                assert!(error.to_string().len() < 1_024, "{error}");
                error
                    .what
                    .chars()
                    .filter(|c| c.is_ascii_lowercase() || *c == ' ')
                    .take(40)
                    .collect()
            }
        }
    });
}
