//! Secrets that a configured file holds.

use crate::error::{Layer, SettingsError};
use secrecy::SecretString;
use std::io::Read;
use std::path::Path;

/// No key or token is this long; a wrong path often names something that is.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads the secret that `field` points to, trimmed. Call again to see a rotated one.
///
/// # Errors
///
/// The file is missing, unreadable, empty, longer than 64 KiB or not UTF-8. The error tells the
/// path, never the content.
pub fn secret_file(field: &str, path: &Path) -> Result<SecretString, SettingsError> {
    let layer = Layer::File(path.to_path_buf());
    let text = read_text(field, path, &layer, SECRET_BYTES_MAX)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(refused(field, &layer, "the file is empty"));
    }
    Ok(SecretString::from(text.to_owned()))
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_text(
    field: &str,
    path: &Path,
    layer: &Layer,
    bytes_max: u64,
) -> Result<String, SettingsError> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(refused(field, layer, &format!("cannot read the file: {error}"))),
        Ok(bytes) if bytes as u64 > bytes_max => {
            Err(refused(field, layer, &format!("the file is longer than {bytes_max} bytes")))
        }
        Ok(_) => Ok(text),
    }
}

fn refused(field: &str, layer: &Layer, problem: &str) -> SettingsError {
    SettingsError::unreadable(
        field,
        layer,
        problem,
        "path of a readable UTF-8 file",
        "Check the path and who may read it",
    )
}
