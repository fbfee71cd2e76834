//! Which model a name means on which route; mixing routes is refused (M3, §11).

use serde_json::{Map, Value};

use super::codes;
use super::fault::{Fault, Findings, shown};
use super::fields::present;
use super::nearest::nearest;
use crate::{ModelKey, Route};

pub(super) fn read(
    route: Route,
    body: &Map<String, Value>,
    findings: &mut Findings,
) -> Option<ModelKey> {
    const AT: &str = "/model";
    let Some(value) = present(body, "model") else {
        findings.fault(
            Fault::new(AT, codes::MISSING_FIELD, "no model is named", "add \"model\"")
                .allowing(known(route)),
        );
        return None;
    };
    let Some(name) = value.as_str() else {
        findings.fault(
            Fault::new(AT, codes::WRONG_TYPE, "the model is not a string", "write it in quotes")
                .allowing(known(route)),
        );
        return None;
    };
    if let Some(key) = ModelKey::ALL.into_iter().find(|key| key.alias() == name) {
        return Some(key);
    }
    if let Some(key) = route.model_by_id(name) {
        return Some(key);
    }
    findings.fault(refusal(route, name).allowing(known(route)));
    None
}

fn refusal(route: Route, name: &str) -> Fault {
    const AT: &str = "/model";
    let other = route.other();
    if let Some(key) = other.model_by_id(name) {
        return Fault::new(
            AT,
            codes::MODEL_OF_OTHER_ROUTE,
            format!("{} belongs to route {other}, this pool is on {route}", shown(name)),
            format!("use {:?}, or {:?} which fits every route", key.wire_id(route), key.alias()),
        );
    }
    if name.starts_with(other.model_prefix()) {
        return Fault::new(
            AT,
            codes::MODEL_OF_OTHER_ROUTE,
            format!("ids that begin with {:?} belong to route {other}", other.model_prefix()),
            format!("use a model of route {route}"),
        );
    }
    if name.starts_with("ep-") {
        return Fault::new(
            AT,
            codes::ENDPOINT_ID,
            "endpoint ids are not accepted yet, because what they can do is not known here",
            "name the model behind the endpoint",
        );
    }
    let aliases = ModelKey::ALL.into_iter().map(ModelKey::alias);
    let ids = ModelKey::ALL.into_iter().map(|key| key.wire_id(route));
    let fix = match nearest(name, aliases.chain(ids)) {
        Some(close) => format!("did you mean {close:?}?"),
        None => "use one of the known models".to_owned(),
    };
    Fault::new(AT, codes::MODEL_UNKNOWN, format!("{} is not a model we know", shown(name)), fix)
}

fn known(route: Route) -> String {
    let names: Vec<&str> =
        ModelKey::ALL.into_iter().flat_map(|key| [key.alias(), key.wire_id(route)]).collect();
    names.join(", ")
}
