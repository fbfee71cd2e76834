//! Who the primary is: asked of Sentinels, or of the nodes of a cluster.
//!
//! All of them are asked at once. Each tells the epoch its word is of, and a failover raises it, so the
//! highest counts, as soon as more than half have spoken: one that was cut off speaks of the past. The server
//! that is named is asked as well whether it is the primary, since it may not know yet, or no more.

use super::{Address, host_of};
use crate::StoreError;
use crate::settings::Topology;
use futures::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, RedisResult, Value};
use std::collections::BTreeMap;

/// A primary, and the nodes that could be asked for the next.
pub(crate) struct Found {
    pub(crate) info: ConnectionInfo,
    /// Empty where the settings name all that can be asked.
    pub(crate) nodes: Vec<ConnectionInfo>,
}

/// What one of them said.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    epoch: u64,
    host: String,
    port: u16,
    nodes: Vec<(String, u16)>,
}

impl Address {
    /// The primary of a slot. `nodes` were told the last time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nobody knows one now, or the one they name is none (yet).
    pub(crate) async fn find(
        &self,
        slot: u16,
        nodes: &[ConnectionInfo],
    ) -> Result<Found, StoreError> {
        let asked = match self.topology {
            Topology::Server => {
                return Ok(Found { info: self.hosts[0].clone(), nodes: Vec::new() });
            }
            Topology::Sentinel => self.hosts.iter().map(|info| self.as_sentinel(info)).collect(),
            Topology::Cluster => {
                let mut asked = nodes.to_vec();
                let new = |info: &&ConnectionInfo| !nodes.iter().any(|n| n.addr() == info.addr());
                asked.extend(self.hosts.iter().filter(new).cloned());
                asked
            }
        };
        let word = self.listen(&asked, slot).await?;
        let info = self.at(&word.host, word.port);
        self.confirm(&info).await?;
        let nodes = word.nodes.iter().map(|(host, port)| self.at(host, *port)).collect();
        Ok(Found { info, nodes })
    }

    /// The newest word of more than half of them, or of all that answer.
    async fn listen(&self, asked: &[ConnectionInfo], slot: u16) -> Result<Word, StoreError> {
        let ask =
            |info| async move { self.word_of(info, slot).await.map_err(|error| self.why(error)) };
        let mut answers: FuturesUnordered<_> = asked.iter().map(ask).collect();
        let (mut words, mut faults) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(word) => words.push(word),
                Err(fault) => faults.push(fault),
            }
            if words.len() * 2 > asked.len() {
                break;
            }
        }
        let heard = !words.is_empty();
        if let Some(word) = words.into_iter().flatten().max_by_key(|word| word.epoch) {
            return Ok(word);
        }
        // What a person must mend is told before what may pass.
        let refused = |fault: &StoreError| matches!(fault, StoreError::Refused { .. });
        if let Some(at) = faults.iter().position(refused) {
            return Err(faults.swap_remove(at));
        }
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Err(StoreError::Unreachable(match (heard, self.topology) {
            (false, _) => faults.join("; "),
            (true, Topology::Cluster) => format!("{}: no node serves slot {slot} now", self.shown),
            (true, _) => format!(
                "{}: no Sentinel watches a primary named {}: look at redis.primary_name",
                self.shown, self.primary_name
            ),
        }))
    }

    async fn word_of(&self, info: &ConnectionInfo, slot: u16) -> RedisResult<Option<Word>> {
        if self.topology == Topology::Cluster {
            let text: String = self.ask(info, redis::cmd("CLUSTER").arg("NODES")).await?;
            let asked = host_of(info.addr()).map_or("", |(host, _)| host);
            return Ok(of_cluster(&text, slot, asked, self.encrypts()));
        }
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("MASTER").arg(&self.primary_name);
        match self.ask::<BTreeMap<String, String>>(info, &ask).await {
            Ok(fields) => Ok(of_sentinel(&fields)),
            Err(error) if error.to_string().contains("No such master") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a server takes itself for a primary.
    async fn confirm(&self, info: &ConnectionInfo) -> Result<(), StoreError> {
        let role = self.ask(info, &redis::cmd("ROLE")).await.map_err(|error| self.why(error))?;
        let Value::Array(parts) = &role else { return Err(StoreError::reply("ROLE", &role)) };
        let role = parts.first().and_then(crate::commit::word);
        if role.as_deref() == Some("master") {
            return Ok(());
        }
        let (host, port) = host_of(info.addr()).unwrap_or_default();
        let role = role.unwrap_or_default();
        Err(StoreError::Unreachable(format!(
            "{}: {host}:{port} is named the primary and is a {role}: a failover is not over",
            self.shown
        )))
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        info: &ConnectionInfo,
        command: &Cmd,
    ) -> RedisResult<T> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.connect_timeout));
        let client = Client::open(info.clone())?;
        let mut connection: MultiplexedConnection =
            client.get_multiplexed_async_connection_with_config(&config).await?;
        command.query_async(&mut connection).await
    }

    /// Sentinels have a login of their own, and no databases.
    fn as_sentinel(&self, info: &ConnectionInfo) -> ConnectionInfo {
        let mut own = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some((user, password)) = &self.sentinel_login {
            own = own.set_password(password);
            if !user.is_empty() {
                own = own.set_username(user);
            }
        }
        info.clone().set_redis_settings(own)
    }
}

/// What a Sentinel says of a primary.
fn of_sentinel(fields: &BTreeMap<String, String>) -> Option<Word> {
    let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
    Some(Word {
        epoch: number("config-epoch")?,
        host: fields.get("ip")?.clone(),
        port: u16::try_from(number("port")?).ok()?,
        nodes: Vec::new(),
    })
}

/// What a node says of the primary of a slot, and of all nodes; `asked` is the host by which we reached it,
/// which it may not know itself. Where names are checked, those that are announced count.
fn of_cluster(text: &str, slot: u16, asked: &str, by_name: bool) -> Option<Word> {
    let mut nodes = Vec::new();
    let mut owner = None;
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let [_, place, flags, _, _, _, epoch, _, slots @ ..] = parts.as_slice() else { continue };
        let mut names = place.split(',');
        let (ip, port) = names.next()?.split('@').next()?.rsplit_once(':')?;
        let announced = names.next().filter(|name| by_name && !name.is_empty());
        let host = announced.unwrap_or(if ip.is_empty() { asked } else { ip });
        let Ok(port) = port.parse::<u16>() else { continue };
        if port == 0 || flags.split(',').any(|flag| flag == "noaddr" || flag == "handshake") {
            continue;
        }
        nodes.push((host.to_owned(), port));
        let holds = flags.split(',').any(|flag| flag == "master")
            && slots.iter().any(|range| contains(range, slot));
        let epoch = epoch.parse::<u64>().unwrap_or(0);
        let newer = owner.as_ref().is_none_or(|(known, _, _)| *known < epoch);
        if holds && newer {
            owner = Some((epoch, host.to_owned(), port));
        }
    }
    owner.map(|(epoch, host, port)| Word { epoch, host, port, nodes })
}

/// `5` or `0-5460`; what is on its way elsewhere stands in brackets and counts where it still lies.
fn contains(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&slot),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
a 127.0.0.1:7001@17001,one.example myself,master - 0 0 3 connected 0-5460 9000
b 127.0.0.1:7002@17002 master,fail - 1 2 2 connected 5461-10922
c :7003@17003 slave a 0 0 3 connected
d 127.0.0.1:7004@17004 master - 0 0 7 connected 5461-8999 9001-10922 [5462->-a]
e :0@0 master,noaddr - 0 0 9 disconnected 5461
";

    #[test]
    fn the_newest_owner_of_a_slot_counts() {
        let of = |slot, by_name| of_cluster(NODES, slot, "seed", by_name);
        let word = of(5_462, false).expect("an owner");
        assert_eq!((word.epoch, word.host.as_str(), word.port), (7, "127.0.0.1", 7004));
        assert_eq!(word.nodes.len(), 4);
        assert_eq!(word.nodes[2], ("seed".to_owned(), 7003));
        assert_eq!(of(9_000, false).map(|word| word.port), Some(7001));
        assert_eq!(of(0, true).map(|word| word.host), Some("one.example".to_owned()));
        assert_eq!(of(16_000, false), None);
    }

    #[test]
    fn a_sentinels_word_has_an_epoch() {
        let fields = [("ip", "10.0.0.1"), ("port", "6379"), ("config-epoch", "4")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let word = of_sentinel(&BTreeMap::from(fields)).expect("a whole word");
        assert_eq!((word.epoch, word.host.as_str(), word.port), (4, "10.0.0.1", 6379));
        assert_eq!(of_sentinel(&BTreeMap::new()), None);
    }
}
