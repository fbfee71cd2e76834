//! A private Redis Cluster: each primary with one replica, put together by the commands that `redis-cli`
//! would send.

use super::resp::CommandError;
use super::server::{Options, Redis, StartError};
use crate::{ports, wait};
use std::time::Duration;

/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// Keys that one `MIGRATE` takes along.
const KEYS_AT_ONCE: usize = 20;
/// How long the nodes may take to know each other and to agree.
const AGREE_MAX: Duration = Duration::from_secs(120);

/// Running nodes. Dropping it kills them.
#[derive(Debug)]
pub struct Cluster {
    /// The primaries, then as many replicas, in the same order.
    nodes: Vec<Redis>,
    bus: Vec<u16>,
}

impl Cluster {
    /// Starts `primaries` nodes that share the slots evenly, and a replica for each; waits until they agree.
    /// `node_timeout` is the silence after which a replica takes over; each node is started with these options.
    ///
    /// # Errors
    ///
    /// [`StartError`], with a message fit for a person.
    pub fn start(
        primaries: usize,
        node_timeout: Duration,
        options: &Options,
    ) -> Result<Self, StartError> {
        let (mut nodes, mut bus) = (Vec::new(), Vec::new());
        for _ in 0..primaries * 2 {
            // By default the bus listens 10,000 ports higher, where outgoing connections may sit.
            let port = ports::free();
            nodes.push(Redis::start(node(options, port, node_timeout))?);
            bus.push(port);
        }
        let cluster = Self { nodes, bus };
        cluster.join(primaries).map_err(|error| StartError::Failed(error.to_string()))?;
        let agreed = wait::until("an agreed cluster", AGREE_MAX, || {
            cluster.nodes.iter().all(|node| cluster.is_settled(node)).then_some(())
        });
        agreed.map_err(|missed| StartError::Failed(missed.to_string()))?;
        Ok(cluster)
    }

    fn join(&self, primaries: usize) -> Result<(), CommandError> {
        for (i, node) in self.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()])?;
            if i < primaries {
                let (first, end) = (SLOTS * i / primaries, SLOTS * (i + 1) / primaries);
                let (first, last) = (first.to_string(), (end - 1).to_string());
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            }
        }
        for (node, bus) in self.nodes.iter().zip(&self.bus).skip(1) {
            let (port, bus) = (node.peer_port().to_string(), bus.to_string());
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        for i in 0..primaries {
            let (primary, replica) = (&self.nodes[i], &self.nodes[i + primaries]);
            let id = primary.command(&["CLUSTER", "MYID"])?;
            // It refuses a primary that it has not heard of yet.
            let obeys = || replica.command(&["CLUSTER", "REPLICATE", &id]).ok();
            wait::until("a replica that knows its primary", AGREE_MAX, obeys)
                .map_err(|missed| CommandError::Refused(missed.to_string()))?;
        }
        Ok(())
    }

    /// A node that knows all the others, takes the cluster for whole, and has what its primary has.
    fn is_settled(&self, node: &Redis) -> bool {
        let told = |words: &[&str], lines: &[&str]| {
            node.command(words).is_ok_and(|told| lines.iter().all(|line| told.contains(line)))
        };
        let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
        let replicates = told(&["INFO", "replication"], &["role:slave", "master_link_status:up"])
            || told(&["INFO", "replication"], &["role:master", "connected_slaves:1"]);
        replicates && told(&["CLUSTER", "INFO"], &["cluster_state:ok", &known])
    }

    /// All nodes, the first half primaries at the start.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    fn primaries(&self) -> impl Iterator<Item = &Redis> {
        self.nodes.iter().filter(|node| {
            node.is_running()
                && node.command(&["ROLE"]).is_ok_and(|told| told.starts_with("master"))
        })
    }

    /// Opens a slot for its way to another primary, as `redis-cli --cluster reshard` does. Its keys stay until they
    /// are handed over.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`]; or there is no primary to take it from or to give it to.
    pub fn open(&self, slot: u16) -> Result<Moving<'_>, CommandError> {
        let none = || CommandError::Refused(format!("no two primaries for slot {slot}"));
        let from = self.primary_of(slot).ok_or_else(none)?;
        let to = self.primaries().find(|node| node.port() != from.port()).ok_or_else(none)?;
        let moving = Moving { cluster: self, slot, from, to };
        let (giver, taker) = (from.command(&["CLUSTER", "MYID"])?, moving.taker()?);
        to.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &giver])?;
        from.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &taker])?;
        Ok(moving)
    }

    /// The node that serves a slot now, by the word of any that runs.
    #[must_use]
    pub fn primary_of(&self, slot: u16) -> Option<&Redis> {
        // A node refuses what it does not serve, whatever it is asked about.
        self.primaries().find(|node| {
            let own = node.command(&["CLUSTER", "NODES"]).unwrap_or_default();
            own.lines().filter(|line| line.contains("myself")).any(|line| serves(line, slot))
        })
    }
}

/// A slot that is open on both sides: on its way from one primary to another.
#[derive(Debug)]
pub struct Moving<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: &'a Redis,
    to: &'a Redis,
}

impl Moving<'_> {
    fn taker(&self) -> Result<String, CommandError> {
        self.to.command(&["CLUSTER", "MYID"])
    }

    /// How many keys of the slot are still where they were, and how many have arrived.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`].
    pub fn keys(&self) -> Result<(usize, usize), CommandError> {
        let count = |node: &Redis| {
            let told = node.command(&["CLUSTER", "COUNTKEYSINSLOT", &self.slot.to_string()])?;
            told.parse().map_err(|_| CommandError::Refused(format!("no number: {told}")))
        };
        Ok((count(self.from)?, count(self.to)?))
    }

    /// Hands keys over until only `left` of them are where they were.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`].
    pub fn hand_over(&self, left: usize) -> Result<(), CommandError> {
        loop {
            let more = self.keys()?.0.saturating_sub(left).min(KEYS_AT_ONCE);
            if more == 0 {
                return Ok(());
            }
            let (slot, more) = (self.slot.to_string(), more.to_string());
            let keys = self.from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, &more])?;
            let port = self.to.peer_port().to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.lines());
            self.from.command(&words)?;
        }
    }

    /// Gives the slot to the node that has all of its keys.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`].
    pub fn close(self) -> Result<(), CommandError> {
        let (slot, taker) = (self.slot.to_string(), self.taker()?);
        let told = ["CLUSTER", "SETSLOT", &slot, "NODE", &taker];
        // First the one that takes it: between the two it is served by both, and not by none.
        self.to.command(&told)?;
        self.from.command(&told)?;
        let ports = [self.to.port(), self.from.port()];
        let mut others = self.cluster.primaries().filter(|node| !ports.contains(&node.port()));
        others.try_for_each(|node| node.command(&told).map(drop))
    }
}

fn node(options: &Options, bus: u16, node_timeout: Duration) -> Options {
    let timeout = node_timeout.as_millis().to_string();
    let words = [
        ("--cluster-enabled", "yes"),
        ("--cluster-port", &bus.to_string()),
        ("--cluster-node-timeout", &timeout),
        // Where one primary is gone, the slots of the others go on.
        ("--cluster-require-full-coverage", "no"),
        ("--repl-diskless-sync-delay", "0"),
    ];
    let mut extra_args = options.extra_args.clone();
    extra_args
        .extend(words.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
    Options { extra_args, ..options.clone() }
}

/// Whether a line of `CLUSTER NODES` names a slot.
fn serves(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&slot),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_slots_are_read() {
        let line = "a 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-9 17 [20->-b]";
        assert!(serves(line, 9) && serves(line, 17));
        assert!(!serves(line, 10) && !serves(line, 20));
    }
}
