//! The buckets of a configuration: the fleet's, and those that tenants have of their own.

use assets::Buckets;
use erasure::Records;
use settings::{Loaded, SettingsError};
use std::sync::Arc;

/// Why no bucket is open.
#[derive(Debug, thiserror::Error)]
pub enum BucketsError {
    /// A section that does not fit; names the key.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A value no bucket can be opened with; names the key.
    #[error(transparent)]
    Bucket(#[from] assets::Error),
}

/// Opens the buckets. What `tenants.<tenant>.store` does not set is as section `store` has it. Sends nothing.
///
/// # Errors
///
/// [`BucketsError`], naming the key to mend.
pub fn buckets(loaded: &Loaded) -> Result<Buckets, BucketsError> {
    let places = loaded.names("tenants").into_iter().map(|tenant| {
        let place = format!("tenants.\"{tenant}\".store");
        (tenant, place)
    });
    let own = places.filter(|(_, place)| loaded.has(place)).map(|(tenant, place)| {
        let settings: assets::Settings = loaded.section_over(&place, "store")?;
        Ok((tenant, settings))
    });
    let own = own.collect::<Result<_, SettingsError>>()?;
    Ok(Buckets::open(&loaded.section("store")?, &own)?)
}

/// Where the records lie that have left Redis. The buckets are opened when the first one is asked for.
#[must_use]
pub fn shelf(loaded: &Loaded) -> Arc<dyn store::Shelf> {
    let loaded = loaded.clone();
    Arc::new(Records::opened_by(move || buckets(&loaded).map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Sources;

    fn loaded(keys: &[(&str, &str)]) -> Loaded {
        let sources =
            keys.iter().fold(Sources::default(), |all, (key, value)| all.set(key, *value));
        sources.load().expect("loads")
    }

    #[test]
    fn a_tenant_has_its_own_bucket_and_all_else_from_the_fleets() {
        let loaded = loaded(&[
            ("store.url", "memory:///"),
            ("store.part_size_bytes", "6291456"),
            ("tenants.acme.store.url", "s3://acme-videos/films"),
            ("tenants.acme.store.s3.region", "eu-west-1"),
            ("tenants.other.review", "always"),
        ]);
        let buckets = buckets(&loaded).expect("they open");
        assert_eq!(buckets.of("acme").root(), "s3://acme-videos/films");
        assert_eq!(buckets.of("acme").part_size_bytes(), 6_291_456);
        for shared in ["other", "nobody"] {
            assert_eq!(buckets.of(shared).root(), "memory://");
        }
        let tenants: Vec<Option<&str>> = buckets.iter().map(|(tenant, _)| tenant).collect();
        assert_eq!(tenants, [None, Some("acme")]);
    }

    #[test]
    fn a_fault_names_the_tenants_key() {
        let loaded = loaded(&[("tenants.acme.store.url", "ftp://acme")]);
        let error = buckets(&loaded).expect_err("no such scheme").to_string();
        assert!(error.contains("tenants.acme.store.url"), "{error}");
    }
}
