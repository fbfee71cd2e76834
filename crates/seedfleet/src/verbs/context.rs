//! `context`: gateways by name.

use crate::cli::{ContextVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows, note};
use crate::remote::contexts::{Context, Contexts, address, place};
use serde_json::json;

const COLUMNS: &[&str] = &["name", "current", "server", "pool", "api_key_file"];

/// Runs the verb.
pub(crate) fn run(global: &Global, verb: ContextVerb) -> Outcome {
    let path = place()?;
    let mut all = Contexts::read(&path)?;
    match verb {
        ContextVerb::List => {
            let mut rows = Rows::new(&global.output, COLUMNS);
            for (name, context) in &all.contexts {
                rows.add(row(&all, name, context))?;
            }
            rows.end()?;
            return Ok(Exit::Done);
        }
        ContextVerb::Show { name } => {
            let name = name.or_else(|| all.current.clone()).ok_or_else(|| {
                Failure::new(Exit::NotFound, "no context is the current one")
                    .hint(format!("there are: {}; `seedfleet context use NAME`", all.names()))
            })?;
            output::object(&global.output, row(&all, &name, all.find(&name)?))?;
            return Ok(Exit::Done);
        }
        ContextVerb::Use { name } => {
            all.find(&name)?;
            all.current = Some(name);
        }
        ContextVerb::Set { name } => set(global, &mut all, name)?,
        ContextVerb::Remove { name } => {
            all.find(&name)?;
            all.contexts.remove(&name);
            all.current = all.current.filter(|current| *current != name);
        }
    }
    all.write(&path)?;
    if !global.quiet {
        note(&match &all.current {
            Some(current) => format!("the current context is {current}"),
            None => "no context is the current one".to_owned(),
        });
    }
    Ok(Exit::Done)
}

fn set(global: &Global, all: &mut Contexts, name: String) -> Result<(), Failure> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(Failure::usage(format!("{name:?} is no name of a context"))
            .hint("allowed: letters, digits, - and _"));
    }
    let old = all.contexts.get(&name).cloned();
    let server = match (&global.whereto.server, &old) {
        (Some(given), _) => {
            address("--server", given)?;
            given.clone()
        }
        (None, Some(old)) => old.server.clone(),
        (None, None) => {
            return Err(Failure::usage("--server is missing: a new context wants its address"));
        }
    };
    let (key_before, pool_before) = old.map_or((None, None), |old| (old.api_key_file, old.pool));
    let key = match &global.whereto.api_key_file {
        // It is read from any folder later.
        Some(file) => Some(std::path::absolute(file)?),
        None => key_before,
    };
    let pool = global.pool.clone().or(pool_before);
    all.contexts.insert(name.clone(), Context { server, api_key_file: key, pool });
    all.current.get_or_insert(name);
    Ok(())
}

fn row(all: &Contexts, name: &str, context: &Context) -> Row {
    Row::from_iter([
        ("name".to_owned(), json!(name)),
        ("current".to_owned(), json!(all.current.as_deref() == Some(name))),
        ("server".to_owned(), json!(context.server)),
        ("pool".to_owned(), json!(context.pool)),
        ("api_key_file".to_owned(), json!(context.api_key_file)),
    ])
}
