//! The file of contexts: gateways by name, and which one is current. It names files of keys and holds none.

use crate::exit::{Exit, Failure};
use egress::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The name of the one that is used where nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Its address.
    pub(crate) server: String,
    /// The file that holds the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// The pool of verbs that want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pool: Option<String>,
}

/// Where the file is: `SEEDFLEET_CONTEXTS`, else below the folder for configuration of the person.
///
/// # Errors
///
/// Nobody's folder is known.
pub(crate) fn place() -> Result<PathBuf, Failure> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    place_of(of).ok_or_else(|| {
        Failure::usage("nothing says where contexts.toml is")
            .hint("set SEEDFLEET_CONTEXTS to its path, or HOME")
    })
}

fn place_of(of: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = of("SEEDFLEET_CONTEXTS") {
        return Some(path.into());
    }
    // A relative one is to be ignored, says the specification of these folders.
    let below = of("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let below = below.or_else(|| Some(PathBuf::from(of("HOME")?).join(".config")))?;
    Some(below.join("seedfleet/contexts.toml"))
}

/// The address of a gateway, judged.
///
/// # Errors
///
/// What is wrong with `field`, and what it may be.
pub(crate) fn address(field: &str, text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("{field}: {why}: {text:?}"))
            .hint("allowed: an address such as https://fleet.example or http://127.0.0.1:8080")
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "an address holds no user and no password; the key has a file of its own";
        // Not shown: it holds a secret.
        return Err(Failure::usage(format!("{field}: {why}")).hint("--api-key-file FILE"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an address has neither query nor fragment"));
    }
    Ok(url)
}

impl Contexts {
    /// Reads the file; one that is not there holds nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has a fault; the field is named.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let what = format!("{shown} cannot be read");
                return Err(Failure::new(Exit::Findings, what).because(error));
            }
        };
        Self::parse(&text).map_err(|faults| {
            let what = format!("{shown} has faults");
            let failure = Failure::new(Exit::Findings, what).because(faults);
            failure.hint("correct it, or write it anew with `seedfleet context set`")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut faults = Vec::new();
        if let Some(current) =
            read.current.as_ref().filter(|name| !read.contexts.contains_key(*name))
        {
            let known = read.names();
            faults.push(format!("current: there is no context {current:?}; there are: {known}"));
        }
        for (name, context) in &read.contexts {
            if let Err(fault) = address(&format!("contexts.{name}.server"), &context.server) {
                faults.push(fault.to_string());
            }
            if context.api_key_file.as_ref().is_some_and(|file| !file.is_absolute()) {
                let field = format!("contexts.{name}.api_key_file");
                faults.push(format!("{field}: it must be an absolute path, as of any folder"));
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(faults.join("\n")) }
    }

    /// Their names.
    pub(crate) fn names(&self) -> String {
        if self.contexts.is_empty() {
            return "none".to_owned();
        }
        self.contexts.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("there is no context {name:?}"))
                .hint(format!("there are: {}; `seedfleet context set` makes one", self.names()))
        })
    }

    /// Writes the file, whole or not at all, for nobody else to read.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            let what = format!("{} cannot be written", path.display());
            Failure::new(Exit::Failed, what).because(error)
        };
        let text = toml::to_string(self).map_err(|error| {
            Failure::new(Exit::Failed, "contexts cannot be told").because(error)
        })?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(cannot)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", ulid::Ulid::generate()));
        let beside = PathBuf::from(beside);
        let written = written(&beside, &text).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // What went wrong is told below; a half file is of no use to anybody.
            let _ = fs::remove_file(&beside);
        }
        written.and_then(|()| fs::File::open(folder)?.sync_all()).map_err(cannot)
    }
}

fn written(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_names_its_field() {
        let told = |text: &str| Contexts::parse(text).expect_err("it has a fault");
        let several = told(
            "current = \"gone\"\n[contexts.a]\nserver = \"ftp://x\"\napi_key_file = \"key\"\n",
        );
        for field in ["current: ", "contexts.a.server: ", "contexts.a.api_key_file: "] {
            assert!(several.contains(field), "{field} in {several}");
        }
        assert!(told("[contexts.a]\nserver = \"http://x\"\nkey = \"k\"\n").contains("`key`"));
        assert!(told("[contexts.a]\npool = \"main\"\n").contains("`server`"));
        let secret = told("[contexts.a]\nserver = \"http://me:hidden@x\"\n");
        assert!(!secret.contains("hidden"), "{secret}");
    }

    #[test]
    fn the_file_lies_where_the_environment_says() {
        let of = |pairs: &'static [(&str, &str)]| {
            place_of(move |name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
            })
        };
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(&[("HOME", "/h")]), at("/h/.config/seedfleet/contexts.toml"));
        let both = of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]);
        assert_eq!(both, at("/x/seedfleet/contexts.toml"));
        let relative = of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]);
        assert_eq!(relative, at("/h/.config/seedfleet/contexts.toml"));
        assert_eq!(of(&[("SEEDFLEET_CONTEXTS", "/c.toml"), ("HOME", "/h")]), at("/c.toml"));
        assert_eq!(of(&[]), None);
    }
}
