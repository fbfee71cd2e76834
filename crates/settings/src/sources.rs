//! Reading and checking the layers, lowest first; `config` parses the files and merges the layers.
//!
//! Every value is checked before any is merged: `config` stops at the first fault, and a value that
//! a later layer hides must be good too.

use crate::error::{Layer, SettingsError, SettingsErrors};
use crate::key::Key;
use crate::loaded::Loaded;
use crate::rule::{Kind, accept, parse};
use crate::schema::schema;
use crate::secret::read_text;
use crate::{DEFAULT_TOML, ETC_DIR, ETC_ENV};
use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// No configuration file is this long.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// More files than this in `conf.d` is a mistake.
const CONF_D_FILES_MAX: usize = 256;

/// What is to be read above the built-in layer. [`Sources::default`] reads nothing else.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    etc: Option<PathBuf>,
    files: Vec<PathBuf>,
    env: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

impl Sources {
    /// What an installed binary reads: `/etc/seedfleet`, or the folder that `SEEDFLEET_ETC` names, and
    /// the environment of the process. A fleet of its own names a folder of its own, so that it never
    /// serves the pools of the machine it happens to run on.
    #[must_use]
    pub fn system() -> Self {
        // Names or values that are not UTF-8 cannot be ours.
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let etc = std::env::var_os(ETC_ENV).unwrap_or_else(|| ETC_DIR.into());
        Self::default().etc(etc).env(env)
    }

    /// A folder with `seedfleet.toml` and `conf.d/*.toml`; either may be absent.
    #[must_use]
    pub fn etc(mut self, dir: impl Into<PathBuf>) -> Self {
        self.etc = Some(dir.into());
        self
    }

    /// A `--config FILE`: it must exist, and a later one wins.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Variables, of which those that begin with [`crate::ENV_PREFIX`] count.
    #[must_use]
    pub fn env(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(vars.into_iter().filter(|(name, _)| Key::from_env(name).is_some()));
        self
    }

    /// A flag: dotted key and value, written as in the environment. The last word of all.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.flags.push((key.to_owned(), value.into()));
        self
    }

    /// Reads and merges everything, checks every key and every bound.
    ///
    /// # Errors
    ///
    /// All faults found in all layers, not only the first.
    pub fn load(self) -> Result<Loaded, SettingsErrors> {
        let mut reading = Reading::default();
        reading.text(DEFAULT_TOML, &Layer::BuiltIn);
        if let Some(dir) = &self.etc {
            reading.etc(dir);
        }
        for path in &self.files {
            reading.file(path);
        }
        reading.env(self.env.clone());
        for (key, text) in &self.flags {
            reading.written(Key::from_dotted(key), text, &Layer::Flag);
        }
        reading.merged(self)
    }

    /// Every file that is read, and the folder whose files are.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = self.files.clone();
        if let Some(etc) = &self.etc {
            let conf_d = etc.join("conf.d");
            paths.push(etc.join("seedfleet.toml"));
            // A folder that cannot be read is told when it is read in earnest.
            paths.extend(toml_files_in(&conf_d).unwrap_or_default());
            paths.push(conf_d);
        }
        let pointed = self.env.iter().filter(|(name, _)| pointed_at(name).is_some());
        paths.extend(pointed.map(|(_, path)| PathBuf::from(path)));
        paths
    }
}

/// One value that passed the check; `config` puts later ones over earlier ones.
#[derive(Debug, Clone)]
struct Said {
    key: Key,
    value: Value,
}

impl Source for Said {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let below = |inner, word: &String| Value::from(Map::from([(word.clone(), inner)]));
        self.key.0.iter().rfold(self.value.clone(), below).into_table()
    }
}

/// What was said so far, by whom, and all that was wrong with it.
#[derive(Default)]
struct Reading {
    said: Vec<Said>,
    layers: BTreeMap<String, Layer>,
    faults: Vec<SettingsError>,
}

impl Reading {
    fn etc(&mut self, dir: &Path) {
        let main = dir.join("seedfleet.toml");
        if main.exists() {
            self.file(&main);
        }
        let conf_d = dir.join("conf.d");
        match toml_files_in(&conf_d) {
            Ok(paths) => paths.iter().for_each(|path| self.file(path)),
            Err(problem) => self.faults.push(SettingsError::unreadable(
                conf_d.display().to_string(),
                &Layer::File(conf_d),
                problem,
                "a readable folder of at most 256 *.toml files",
                "Check who may read it",
            )),
        }
    }

    /// Opened here and not by `config`, which takes a file of any length, replaces what is not
    /// UTF-8, and reads `x.toml.toml` where `x.toml` is missing.
    fn file(&mut self, path: &Path) {
        let layer = Layer::File(path.to_path_buf());
        match read_text(&path.display().to_string(), path, &layer, FILE_BYTES_MAX) {
            Ok(text) => self.text(&text, &layer),
            Err(fault) => self.faults.push(fault),
        }
    }

    fn text(&mut self, text: &str, layer: &Layer) {
        match File::from_str(text, FileFormat::Toml).collect() {
            Ok(table) => {
                for (key, value) in schema().leaves(&table.into()) {
                    self.value(key, layer, |kind| accept(kind, value.kind.clone()));
                }
            }
            Err(error) => self.faults.push(SettingsError::unreadable(
                layer.to_string(),
                layer,
                not_toml(text, &error),
                "TOML",
                "Mend that line",
            )),
        }
    }

    fn env(&mut self, mut vars: Vec<(String, String)>) {
        // By name, so that which of two faults is told first does not depend on the shell.
        vars.sort();
        let mut files = Vec::new();
        for (name, text) in vars {
            let Some(key) = Key::from_env(&name) else { continue };
            match pointed_at(&name) {
                Some(bare) => files.push((bare, name, PathBuf::from(text))),
                None => self.written(key, &text, &Layer::Env(name)),
            }
        }
        for (key, name, path) in files {
            let layer = Layer::EnvFile { name, path: path.clone() };
            match read_text(&key.to_string(), &path, &layer, FILE_BYTES_MAX) {
                Ok(text) => self.written(key, text.trim(), &layer),
                Err(fault) => self.faults.push(fault),
            }
        }
    }

    /// A value written as plain text.
    fn written(&mut self, key: Key, text: &str, layer: &Layer) {
        self.value(key, layer, |kind| parse(kind, text));
    }

    fn value(
        &mut self,
        key: Key,
        layer: &Layer,
        read: impl FnOnce(Kind) -> Result<ValueKind, String>,
    ) {
        let refused = |problem: &str, allowed: &str| {
            SettingsError::bad_value(key.to_string(), layer, problem, allowed)
        };
        match schema().find(&key).map(|entry| (entry, read(entry.rule.kind))) {
            Some((_, Ok(kind))) => {
                // Told apart by all they hold: two paths may print alike.
                let origin = format!("{layer:?}");
                self.said.push(Said { key, value: Value::new(Some(&origin), kind) });
                self.layers.insert(origin, layer.clone());
            }
            Some((entry, Err(problem))) => self.faults.push(refused(&problem, &entry.allowed)),
            None if schema().is_section(&key) => {
                self.faults.push(refused("this is a section, not a value", "keys below it"));
            }
            None => self.faults.push(schema().unknown(&key, layer)),
        }
    }

    fn merged(mut self, sources: Sources) -> Result<Loaded, SettingsErrors> {
        let merged = Config::builder().add_source(self.said).build();
        let loaded = merged.expect("a checked value cannot fail");
        let loaded = Loaded::new(loaded, self.layers, sources);
        self.faults.extend(loaded.out_of_bounds());
        match SettingsErrors::from_faults(self.faults) {
            Some(errors) => Err(errors),
            None => Ok(loaded),
        }
    }
}

/// The key whose value lies in the file that a variable of this name points at.
fn pointed_at(name: &str) -> Option<Key> {
    let bare = name.strip_suffix("_FILE").and_then(Key::from_env)?;
    let whole = Key::from_env(name)?;
    (schema().find(&whole).is_none() && schema().find(&bare).is_some()).then_some(bare)
}

/// Only message and line: the parser's own picture would show the line, secrets and all.
fn not_toml(text: &str, error: &ConfigError) -> String {
    let ConfigError::FileParse { cause, .. } = error else { return error.to_string() };
    let Some(cause) = cause.downcast_ref::<toml::de::Error>() else { return cause.to_string() };
    let line = cause.span().map_or(1, |span| {
        let before = text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    });
    format!("line {line}: {}", cause.message())
}

/// The `*.toml` files of a folder, by name; none if there is no such folder.
fn toml_files_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let cannot = |error: std::io::Error| format!("cannot read the folder: {error}");
    let mut paths = Vec::new();
    for found in std::fs::read_dir(dir).map_err(cannot)? {
        let path = found.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            if paths.len() == CONF_D_FILES_MAX {
                return Err(format!("more than {CONF_D_FILES_MAX} files"));
            }
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
