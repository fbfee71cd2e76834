//! The operator's own price table.

use seedance::{PriceTable, PricingError};
use serde::Deserialize;
use settings::{Loaded, SettingsError};
use std::path::PathBuf;

/// Longest table that is read.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Section `pricing`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PricingSettings {
    /// The operator's own table; none: the one that ships.
    pub table: Option<PathBuf>,
}

/// Why a process does not start with its price table.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// The section.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The file is not there, or cannot be read.
    #[error("pricing.table = {}: {why}; name a readable file, or leave the key empty for the table that ships", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What it says cannot be used.
    #[error("pricing.table = {}: {error}", .path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// The row and the field.
        error: PricingError,
    },
}

/// Puts the operator's own price table in force, where one is configured. Once for the life of a process: what it
/// says later counts from the next start.
///
/// # Errors
///
/// [`PricesError`], with file, row and field.
pub fn use_prices(loaded: &Loaded) -> Result<(), PricesError> {
    if let Some(table) = read(loaded)? {
        table.put_in_force();
    }
    Ok(())
}

fn read(loaded: &Loaded) -> Result<Option<PriceTable>, PricesError> {
    let Some(path) = loaded.section::<PricingSettings>("pricing")?.table else { return Ok(None) };
    let unreadable = |why: String| PricesError::Unreadable { path: path.clone(), why };
    let bytes = std::fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > TABLE_BYTES_MAX {
        return Err(unreadable(format!("{bytes} bytes are more than {TABLE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    match PriceTable::parse(&text) {
        Ok(table) => Ok(Some(table)),
        Err(error) => Err(PricesError::Table { path, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::TempDir;
    use settings::Sources;

    #[test]
    fn a_table_is_read_or_its_file_row_and_field_are_told() {
        let dir = TempDir::new("prices").expect("a temporary folder");
        let file = dir.path().join("own.toml");
        let text = |table: &str| {
            let sources = Sources::default().set("pricing.table", table);
            sources.load().expect("loads")
        };
        assert!(matches!(read(&text("")), Ok(None)));
        let loaded = text(&file.to_string_lossy());
        let said = |loaded: &Loaded| read(loaded).expect_err("it cannot be used").to_string();
        assert!(said(&loaded).contains("own.toml: "), "{}", said(&loaded));
        let shipped = include_str!("../../../config/pricing.toml");
        std::fs::write(&file, shipped).expect("the folder is ours");
        assert!(matches!(read(&loaded), Ok(Some(_))));
        std::fs::write(&file, shipped.replacen("\"7.7\"", "\"7,7\"", 1)).expect("ours");
        let told = said(&loaded);
        assert!(
            told.contains("own.toml: row 2: ") && told.contains("per_million_tokens"),
            "{told}"
        );
    }
}
