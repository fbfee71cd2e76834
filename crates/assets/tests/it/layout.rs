//! Where files lie.

use crate::beds::CREATED_AT_MS;
use assets::{Layout, LayoutFault, Place, Settings, check_prefix};
use proptest::prelude::*;

fn place<'a>(prefix: Option<&'a str>) -> Place<'a> {
    Place { tenant: "acme", job_id: "job_1", created_at_ms: CREATED_AT_MS, prefix }
}

fn folder(template: &str, prefix: Option<&str>) -> Result<String, LayoutFault> {
    Layout::parse(template)?.folder(&place(prefix)).map(|f| f.as_str().to_owned())
}

#[test]
fn the_default_is_filled_from_the_jobs_own_facts() {
    let template = Settings::default().layout;
    assert_eq!(folder(&template, None).unwrap(), "acme/2026/11/22/job_1");
    assert_eq!(folder(&template, Some("")).unwrap(), "acme/2026/11/22/job_1");
    let layout = Layout::parse(&template).unwrap();
    let night = Place { created_at_ms: 951_782_399_999, ..place(None) };
    assert_eq!(layout.folder(&night).unwrap().as_str(), "acme/2000/02/28/job_1");
    let leap = Place { created_at_ms: 951_782_400_000, ..place(None) };
    assert_eq!(layout.folder(&leap).unwrap().as_str(), "acme/2000/02/29/job_1");
}

#[test]
fn a_prefix_stays_inside_the_tenant() {
    let with = |template| folder(template, Some("orders/991/")).unwrap();
    assert_eq!(with("{tenant}/{yyyy}/{job_id}"), "acme/orders/991/2026/job_1");
    assert_eq!(with("all/t-{tenant}/{job_id}/"), "all/t-acme/orders/991/job_1");
    assert_eq!(with("{yyyy}-{mm}/{job_id}"), "orders/991/2026-11/job_1");
    assert_eq!(with("{job_id}/{tenant}"), "job_1/acme/orders/991");
}

#[test]
fn what_a_template_may_not_say_is_named() {
    let fault = |template| Layout::parse(template).unwrap_err();
    let unknown = fault("{tenant}/{jobid}");
    assert_eq!(unknown, LayoutFault::UnknownPlaceholder { found: "jobid".into() });
    assert!(unknown.to_string().contains("{job_id}"), "{unknown}");
    assert_eq!(fault("{tenant}/{yyyy}"), LayoutFault::NoJobId);
    assert_eq!(fault("/{job_id}"), LayoutFault::Absolute);
    assert!(matches!(fault(""), LayoutFault::Extent { .. }));
    assert!(matches!(fault("/"), LayoutFault::Absolute));
    assert!(matches!(fault("a//{job_id}"), LayoutFault::BadName { .. }));
    assert!(matches!(fault("../{job_id}"), LayoutFault::BadName { .. }));
    assert!(matches!(fault("./{job_id}"), LayoutFault::BadName { .. }));
    assert!(matches!(fault("a b/{job_id}"), LayoutFault::BadName { .. }));
    assert!(matches!(fault("{job_id"), LayoutFault::UnbalancedBrace { .. }));
    assert!(matches!(fault("job_id}"), LayoutFault::UnbalancedBrace { .. }));
    assert!(matches!(fault("media/{job_id}"), LayoutFault::Reserved(_)));
}

#[test]
fn names_that_must_not_become_paths_are_refused() {
    let layout = Layout::parse("{tenant}/{job_id}").unwrap();
    for tenant in ["", ".", "..", "a/b", "a\\b", "a b", "ä", "a\0", "a%2fb"] {
        let answer = layout.folder(&Place { tenant, ..place(None) });
        assert!(matches!(answer, Err(LayoutFault::BadName { .. })), "{tenant:?}: {answer:?}");
    }
    for tenant in ["media", "intents", "_check"] {
        let answer = layout.folder(&Place { tenant, ..place(None) });
        assert_eq!(answer, Err(LayoutFault::Reserved(tenant.into())));
    }
    for prefix in ["/", "/etc", "..", "a/../b", "a//b", "./a", "a/./b", "a b", "a\nb", "~"] {
        assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        assert!(folder("{tenant}/{job_id}", Some(prefix)).is_err(), "{prefix:?}");
    }
    assert!(check_prefix(&"a/".repeat(9)).is_err());
    assert!(check_prefix(&"a".repeat(300)).is_err());
    let far = Place { created_at_ms: i64::MAX, ..place(None) };
    assert_eq!(layout.folder(&far), Err(LayoutFault::BadDate(i64::MAX)));
}

#[test]
fn an_attempt_is_a_plain_name() {
    let folder = Layout::parse("{job_id}").unwrap().folder(&place(None)).unwrap();
    assert_eq!(folder.attempt_path("a1", "task.json").unwrap(), "job_1/a1/task.json");
    assert!(folder.attempt_path("../x", "task.json").is_err());
}

proptest! {
    /// Whatever is accepted stays below the bucket's root, inside the tenant, and ends with the job.
    #[test]
    fn no_accepted_path_climbs(
        tenant in "[a-z./_-]{1,12}",
        job_id in "[a-z0-9./_]{1,12}",
        prefix in proptest::option::of("[a-z./ ]{0,20}"),
        created_at_ms in any::<i64>(),
    ) {
        let layout = Layout::parse("{tenant}/{yyyy}/{mm}/{dd}/{job_id}/").unwrap();
        let place = Place { tenant: &tenant, job_id: &job_id, created_at_ms, prefix: prefix.as_deref() };
        if let Ok(folder) = layout.folder(&place) {
            let segments: Vec<&str> = folder.as_str().split('/').collect();
            prop_assert!(segments.iter().all(|s| !s.is_empty() && !s.bytes().all(|b| b == b'.')));
            prop_assert_eq!(segments[0], tenant.as_str());
            prop_assert_eq!(*segments.last().unwrap(), job_id.as_str());
            prop_assert_eq!(layout.folder(&place).unwrap(), folder);
        }
    }

    /// Two jobs never share a folder, and a template either parses or says why.
    #[test]
    fn jobs_never_share(template in "[{}a-z_/.]{0,40}", one in "[a-z0-9]{1,8}", two in "[a-z0-9]{1,8}") {
        prop_assume!(one != two);
        if let Ok(layout) = Layout::parse(&template) {
            let (one, two) = (Place { job_id: &one, ..place(None) }, Place { job_id: &two, ..place(None) });
            if let (Ok(one), Ok(two)) = (layout.folder(&one), layout.folder(&two)) {
                prop_assert_ne!(one, two);
            }
        }
    }
}
