//! Whose bucket: the fleet's, or a tenant's own.
//!
//! Outputs, payloads, manifests and inline media lie in the bucket of the job's tenant. This is the one
//! place that says which that is; intents are not asked for here, they stay where the fence is.

use crate::{Assets, Error, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One thing for everybody, and others for tenants that have their own. Cheap to clone.
#[derive(Debug)]
pub struct ByTenant<T>(Arc<Parts<T>>);

#[derive(Debug)]
struct Parts<T> {
    everyone: T,
    own: BTreeMap<String, T>,
}

/// The open buckets of a fleet.
pub type Buckets = ByTenant<Assets>;

impl<T> Clone for ByTenant<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The same for everybody.
impl<T> From<T> for ByTenant<T> {
    fn from(everyone: T) -> Self {
        Self::new(everyone, BTreeMap::new())
    }
}

impl<T> ByTenant<T> {
    /// `own` holds those of tenants that do not share `everyone`.
    #[must_use]
    pub fn new(everyone: T, own: BTreeMap<String, T>) -> Self {
        Self(Arc::new(Parts { everyone, own }))
    }

    /// What a tenant has.
    #[must_use]
    pub fn of(&self, tenant: &str) -> &T {
        self.0.own.get(tenant).unwrap_or(&self.0.everyone)
    }

    /// Each with its tenant; the shared one, which comes first, has none.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let own = self.0.own.iter().map(|(tenant, one)| (Some(tenant.as_str()), one));
        std::iter::once((None, &self.0.everyone)).chain(own)
    }

    /// The same made of each.
    #[must_use]
    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> ByTenant<U> {
        let own = self.0.own.iter().map(|(tenant, one)| (tenant.clone(), make(one)));
        ByTenant::new(make(&self.0.everyone), own.collect())
    }
}

impl Buckets {
    /// Opens the fleet's bucket (section `store`) and those of tenants (`tenants.<tenant>.store`).
    /// Sends nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] or [`Error::Layout`], naming the key to mend.
    pub fn open(everyone: &Settings, own: &BTreeMap<String, Settings>) -> Result<Self, Error> {
        let opened = own.iter().map(|(tenant, settings)| {
            let assets = Assets::open(settings).map_err(|error| {
                let key = format!("tenants.{tenant}.store.");
                Error::Settings(error.to_string().replace("store.", &key))
            })?;
            Ok((tenant.clone(), assets))
        });
        Ok(Self::new(Assets::open(everyone)?, opened.collect::<Result<_, Error>>()?))
    }
}

/// The key of the configuration that says where a tenant's bucket is; without a tenant, the fleet's.
#[must_use]
pub fn url_key(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| "store.url".to_owned(), |tenant| format!("tenants.{tenant}.store.url"))
}
