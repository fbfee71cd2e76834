//! `config/default.toml` against the rooms: what ships must be what each room reads, and what a room
//! takes for granted. Nobody below may know both sides, so they meet here.

use job::{DoubtPolicy, DownloadPolicy, PollPolicy, PoolSettings, SettlePolicy, SubmitPolicy};
use serde::de::DeserializeOwned;
use settings::{DEFAULT_TOML, Loaded, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use worker::CrewSettings;

/// The shipped configuration, and which of its sections a struct was made of.
struct Shipped {
    loaded: Loaded,
    read: BTreeSet<&'static str>,
}

impl Shipped {
    fn fits<T: DeserializeOwned>(&mut self, section: &'static str) -> T {
        self.read.insert(section);
        match self.loaded.section(section) {
            Ok(made) => made,
            Err(fault) => panic!("{}: {fault}", std::any::type_name::<T>()),
        }
    }

    fn is_default<T: DeserializeOwned + Default + PartialEq + Debug>(
        &mut self,
        section: &'static str,
    ) {
        let shipped: T = self.fits(section);
        assert_eq!(shipped, T::default(), "{section} and {}", std::any::type_name::<T>());
    }
}

#[test]
fn every_section_loads_into_every_struct_that_reads_it() {
    let loaded = Sources::default().load().expect("the shipped configuration is good");
    let mut shipped = Shipped { loaded, read: BTreeSet::new() };

    shipped.is_default::<store::Settings>("redis");
    shipped.is_default::<provider::Settings>("provider");
    shipped.is_default::<limiter::Settings>("limits");
    shipped.is_default::<assets::Settings>("store");
    shipped.is_default::<assets::S3Settings>("store.s3");
    shipped.is_default::<assets::AzureSettings>("store.azure");
    shipped.is_default::<assets::GcsSettings>("store.gcs");
    shipped.is_default::<egress::Settings>("egress");
    shipped.is_default::<gateway::GatewaySettings>("gateway");
    shipped.is_default::<admission::ReviewSettings>("review");
    shipped.is_default::<erasure::RetentionSettings>("retention");
    shipped.is_default::<worker::AdminSettings>("admin");
    shipped.is_default::<worker::PricingSettings>("pricing");
    shipped.is_default::<telemetry::Settings>("telemetry");
    shipped.is_default::<store::EventSettings>("events");
    shipped.is_default::<reconcile::Settings>("reconcile");

    shipped.fits::<assets::FenceSettings>("fence");
    shipped.fits::<store::Caps>("caps");
    shipped.fits::<notifier::Settings>("webhooks");
    shipped.fits::<SubmitPolicy>("submit");
    shipped.fits::<submitter::Settings>("submit");
    shipped.fits::<SettlePolicy>("settle");
    shipped.fits::<PollPolicy>("poll");
    shipped.fits::<poller::Settings>("poll");
    shipped.fits::<DownloadPolicy>("download");
    shipped.fits::<downloader::Settings>("download");
    shipped.fits::<gateway::CallbackLimits>("callbacks");
    shipped.fits::<gateway::ScalingLooks>("scaling");
    shipped.fits::<survey::ScalingSettings>("scaling");
    for section in ["submit", "settle", "poll", "download"] {
        let crew: CrewSettings = shipped.fits(section);
        assert!(crew.renew * 2 <= crew.lease, "{section}: one lost renewal must not end a lease");
    }
    let callbacks: provider::CallbackSettings = shipped.fits("callbacks");
    assert!(!callbacks.enabled, "nobody is called at an address nobody set");

    let admission = admission::Settings::from_loaded(&shipped.loaded).expect("the door's keys");
    assert_eq!(admission, admission::Settings::default());
    assert!(shipped.fits::<BTreeMap<String, PoolSettings>>("pools").is_empty());

    let sections: BTreeSet<String> = shipped
        .loaded
        .shown()
        .iter()
        .filter_map(|line| Some(line.key.split_once('.')?.0.to_owned()))
        .collect();
    let unread: Vec<_> = sections.iter().filter(|s| !shipped.read.contains(s.as_str())).collect();
    assert!(unread.is_empty(), "no room was tried with {unread:?}");
}

/// What the manual shows behind `#`, as an operator would copy it.
fn examples() -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in DEFAULT_TOML.lines() {
        let words = line.trim_start_matches('#').trim();
        inside = line.starts_with('#') && (inside || words.starts_with('['));
        if inside && (words.starts_with('[') || words.contains(" = ")) {
            text.push_str(words);
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_examples_of_the_manual_load_into_their_rooms() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("examples.toml");
    std::fs::write(&path, examples()).expect("a file is written");
    let loaded = Sources::default().file(&path).load().expect("the examples are good");

    let pools: BTreeMap<String, PoolSettings> = loaded.section("pools").expect("pools");
    let (main, sim) = (&pools["main"], &pools["sim"]);
    assert_eq!((main.simulated, main.doubt_policy()), (false, DoubtPolicy::Strict));
    assert_eq!((sim.simulated, sim.doubt_policy()), (true, DoubtPolicy::Balanced));
    let classes = &main.accounts["a"].limits.classes;
    assert_eq!(classes.values().map(|c| (c.create_rpm, c.running)).collect::<Vec<_>>(), [(180, 3)]);
    worker::policy(&loaded, main).expect("a policy");

    let gateway: gateway::GatewaySettings = loaded.section("gateway").expect("gateway");
    assert_ne!(gateway, gateway::GatewaySettings::default(), "it has a key now");
    let callbacks: provider::CallbackSettings = loaded.section("callbacks").expect("callbacks");
    assert_eq!(callbacks.token_keys["k1"], PathBuf::from("/run/secrets/callback-k1"));
    let door = admission::Settings::from_loaded(&loaded).expect("the door's keys");
    assert_eq!(door.review_of("acme"), admission::Review::Always);
    assert_eq!(door.pool_of("acme"), Some("main"));
}
