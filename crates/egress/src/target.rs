//! Whether an address that somebody else wrote may be fetched, judged before any lookup.

use std::fmt;

use url::{Host, Url};

use crate::{
    Settings,
    address::{NotPublic, check_public},
};

/// Longest link that is followed, in bytes. A signed link takes about one thousand.
const URL_BYTES_MAX: usize = 8192;

/// Scheme, host and port, compared after URL normalisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: Host<String>,
    port: u16,
}

/// Why a configured origin is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an origin: {problem}; expected scheme://host or scheme://host:port")]
pub struct OriginError {
    /// The text as configured, redacted.
    pub given: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Origin {
    /// Reads an origin such as `http://127.0.0.1:9000`.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for anything with user info, a path, a query or another scheme.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let bad = |problem| OriginError { given: crate::redact_url(text), problem };
        let url = Url::parse(text).map_err(|_| bad("not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("user info is not part of an origin"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("a path, query or fragment is not part of an origin"));
        }
        Self::of(&url).ok_or_else(|| bad("only http and https"))
    }

    /// The origin of an `http` or `https` URL; `None` for others.
    fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Which hosts a guarded client may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Only names that end in one of these suffixes (`.volces.com`); no IP literals.
    Suffixes(Vec<String>),
    /// Any host with a public address.
    AnyPublic,
    /// The same, and over plain http on port 80 too: files that somebody else will fetch from there.
    AnyPublicWeb,
}

/// The rules one guarded client follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Where to; over https on port 443 unless it says more.
    pub hosts: Hosts,
    /// Exact origins that may be fetched whatever their scheme, port and address: the output and reference hosts
    /// of simulated pools, and the receivers of webhooks that an operator named. There is no switch for "all private addresses".
    pub origins: Vec<Origin>,
    /// Redirects followed, each judged by these same rules.
    pub redirects_max: u32,
}

/// Why an address is not fetched. Its text names the host and the rule, never the query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL with a host.
    #[error("not a usable URL: {0}")]
    Malformed(&'static str),
    /// Another scheme than https.
    #[error("scheme {0:?} is refused: only https")]
    Scheme(String),
    /// `user:password@` before the host.
    #[error("user info in the URL of {0} is refused")]
    UserInfo(String),
    /// Another port than 443, or than 80 where plain http is allowed.
    #[error("port {port} of {host} is refused: only the usual one of its scheme")]
    Port {
        /// The host.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// No suffix of the allow-list fits.
    #[error("host {0} is not on the list of allowed hosts (egress.output_host_suffixes)")]
    Host(String),
    /// An address, literal or resolved, that is not public.
    #[error(transparent)]
    Address(#[from] NotPublic),
    /// More redirects than are followed.
    #[error("more than {0} redirects")]
    Redirects(u32),
}

/// Which client has to fetch an admitted address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// Through the resolver that drops private addresses.
    Public,
    /// A configured origin: its address is not judged.
    Origin,
}

impl Rules {
    /// The rules for output links of one pool.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for the first of `origins` (`pools.<pool>.output_origins`) that is none.
    pub fn for_outputs(settings: &Settings, origins: &[String]) -> Result<Self, OriginError> {
        Ok(Self {
            hosts: Hosts::Suffixes(settings.output_host_suffixes.clone()),
            origins: origins.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>()?,
            redirects_max: settings.redirects_max,
        })
    }

    /// The rules for addresses of customers: any public host, no redirect.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for the first of `origins` (`webhooks.allow_origins`) that is none.
    pub fn for_webhooks(origins: &[String]) -> Result<Self, OriginError> {
        Ok(Self {
            hosts: Hosts::AnyPublic,
            origins: origins.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>()?,
            redirects_max: 0,
        })
    }

    /// The rules for files that the provider is to fetch, looked at before: any public host, as it sees them.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for the first of `origins` (`pools.<pool>.output_origins`) that is none.
    pub fn for_references(settings: &Settings, origins: &[String]) -> Result<Self, OriginError> {
        Ok(Self { hosts: Hosts::AnyPublicWeb, ..Self::for_outputs(settings, origins)? })
    }

    /// Says whether an address may be called, as far as can be told without resolving its host.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming the rule.
    pub fn check(&self, url: &str) -> Result<(), Refused> {
        self.admit(url).map(|_| ())
    }

    /// Parses and judges an address. Only what the URL itself says is judged here: names are
    /// resolved later, and their addresses checked then.
    pub(crate) fn admit(&self, text: &str) -> Result<(Url, Admitted), Refused> {
        if text.len() > URL_BYTES_MAX {
            return Err(Refused::Malformed("longer than 8192 bytes"));
        }
        let url = Url::parse(text).map_err(|_| Refused::Malformed("it does not parse"))?;
        let admitted = self.judge(&url)?;
        Ok((url, admitted))
    }

    /// Judges a parsed address; used for the first link and for every redirect alike.
    pub(crate) fn judge(&self, url: &Url) -> Result<Admitted, Refused> {
        let host = url.host().ok_or(Refused::Malformed("it names no host"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo(host.to_string()));
        }
        if Origin::of(url).is_some_and(|origin| self.origins.contains(&origin)) {
            return Ok(Admitted::Origin);
        }
        let usual = match url.scheme() {
            "https" => 443,
            "http" if self.hosts == Hosts::AnyPublicWeb => 80,
            other => return Err(Refused::Scheme(other.to_owned())),
        };
        match url.port_or_known_default() {
            Some(port) if port == usual => {}
            port => {
                let (host, port) = (host.to_string(), port.unwrap_or_default());
                return Err(Refused::Port { host, port });
            }
        }
        // The parser has already turned every odd spelling of a number into an address.
        match &host {
            Host::Ipv4(address) => check_public((*address).into())?,
            Host::Ipv6(address) => check_public((*address).into())?,
            Host::Domain(_) => {}
        }
        match (&self.hosts, &host) {
            (Hosts::AnyPublic | Hosts::AnyPublicWeb, _) => Ok(Admitted::Public),
            (Hosts::Suffixes(suffixes), Host::Domain(name)) if fits(name, suffixes) => {
                Ok(Admitted::Public)
            }
            (Hosts::Suffixes(_), _) => Err(Refused::Host(host.to_string())),
        }
    }
}

/// Whether a normalised host name ends in one of the suffixes, at a dot.
fn fits(name: &str, suffixes: &[String]) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    suffixes.iter().any(|suffix| {
        let suffix = suffix.trim_start_matches('.').to_ascii_lowercase();
        !suffix.is_empty()
            && name.strip_suffix(&suffix).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
    })
}
