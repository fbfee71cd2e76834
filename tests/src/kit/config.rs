//! The configuration of a fleet in a test: short horizons, so that minutes become seconds.

use std::path::Path;

/// What the configuration depends on.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) redis: &'a str,
    pub(super) api: &'a str,
    pub(super) media: &'a str,
    pub(super) gateway_port: u16,
}

/// The file with a mark for everything that differs between fleets.
const TEMPLATE: &str = include_str!("fleet.toml");

/// The whole file. A test puts its own settings into a second file, which wins.
pub(super) fn text(places: &Places<'_>) -> String {
    let Places { dir, redis, api, media, gateway_port } = places;
    let marks = [
        ("@redis@", (*redis).to_owned()),
        ("@api@", (*api).to_owned()),
        ("@media@", (*media).to_owned()),
        ("@dir@", dir.display().to_string()),
        ("@gateway_port@", gateway_port.to_string()),
    ];
    marks.iter().fold(TEMPLATE.to_owned(), |page, (mark, value)| page.replace(mark, value))
}
