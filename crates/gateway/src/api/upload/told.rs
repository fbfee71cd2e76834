//! A row of a stream, as it is told when it is refused.

/// What is told of a row if it is refused.
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) custom_id: Option<String>,
}

impl Told {
    /// Under which name a refused row is kept: the same row, mended, takes it away.
    pub(super) fn row(&self) -> String {
        match &self.custom_id {
            Some(custom_id) => format!("id:{}", custom_id.chars().take(256).collect::<String>()),
            None => format!("row:{}", self.number),
        }
    }
}
