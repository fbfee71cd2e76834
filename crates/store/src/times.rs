//! How long tasks take, learned from those that ended well. Losing all of it costs some reads.

use crate::connection::Call;
use crate::lease::millis;
use crate::{Store, StoreError, commit, script};
use job::rounds::{Times, bucket};
use std::collections::BTreeMap;
use std::time::Duration;

/// Samples of a class that are kept: at twice as many all are halved, so that the newer half counts more.
const SAMPLES_KEPT: u64 = 500;
/// How long a class is kept of which nothing is heard.
const CLASS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Store {
    /// A task of this class ([`job::rounds::class`]) took so long from its create to its end.
    ///
    /// # Errors
    ///
    /// As every call; the sample is then lost, or counted twice when repeated.
    pub async fn learn(&self, class: &str, time: Duration) -> Result<(), StoreError> {
        let args = vec![
            bucket(time).to_string(),
            (2 * SAMPLES_KEPT).to_string(),
            millis(CLASS_KEPT).to_string(),
        ];
        let call = Call::new(&script::LEARN, vec![self.keys().times(class)], args);
        let reply = self.connection().call(call).await?;
        commit::integer(&reply).map(drop).ok_or_else(|| StoreError::reply("learn", &reply))
    }

    /// What was learned of a class.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn times(&self, class: &str) -> Result<Times, StoreError> {
        let key = self.keys().times(class);
        let fields: BTreeMap<String, u64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let counts = fields.into_iter().filter_map(|(field, n)| Some((field.parse().ok()?, n)));
        Ok(Times::of(counts))
    }
}
