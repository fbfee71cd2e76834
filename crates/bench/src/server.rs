//! What Redis itself says of its work: commands, processor time, memory; and who asked for it.

use redis::Value;
use sandbox::Redis;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

/// Says in the monitor's log that nothing of interest follows.
const LAST: &str = "bench-monitor-ends";
/// Entries of the slow log that are kept and read.
const SLOWLOG_MAX: usize = 400_000;

/// Number, instant, µs, words, whose, name: one entry of the slow log.
type Entry = (u64, u64, u64, Vec<Vec<u8>>, String, String);

/// Counters of one server at one moment, or between two.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// Calls of each command, those inside scripts included.
    pub calls: BTreeMap<String, f64>,
    /// Processor time of the whole process, µs.
    pub cpu_us: f64,
    /// Bytes of data: without buffers of clients and of the log.
    pub bytes: f64,
}

impl Counters {
    /// As they stand.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    #[must_use]
    pub fn of(redis: &Redis) -> Self {
        Self::read(&redis.command(&["INFO", "all"]).expect("the server answers"))
    }

    fn read(info: &str) -> Self {
        let number = |name: &str| -> f64 {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
        };
        let calls = info.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        let buffers = number("mem_clients_normal") + number("mem_aof_buffer");
        Self {
            calls: calls.collect(),
            cpu_us: (number("used_cpu_user") + number("used_cpu_sys")) * 1e6,
            bytes: number("used_memory") - buffers,
        }
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().map(|(name, calls)| {
            (name.clone(), calls - before.calls.get(name).copied().unwrap_or(0.0))
        });
        Self {
            calls: calls.filter(|(_, calls)| *calls > 0.0).collect(),
            cpu_us: self.cpu_us - before.cpu_us,
            bytes: self.bytes - before.bytes,
        }
    }

    /// All commands, those inside scripts included.
    #[must_use]
    pub fn commands(&self) -> f64 {
        self.calls.values().sum()
    }
}

/// Who sent what: commands of clients by name, scripts by the name of their file, and how many commands each
/// ran inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Commands of clients.
    pub asked: BTreeMap<String, u64>,
    /// Commands inside the scripts they called.
    pub inside: BTreeMap<String, u64>,
    last: String,
}

impl Heard {
    fn line(&mut self, line: &str) {
        let Some((head, rest)) = line.split_once("] \"") else { return };
        if head.ends_with(" lua") {
            *self.inside.entry(self.last.clone()).or_default() += 1;
            return;
        }
        let mut words = rest.split('"');
        let name = words.next().unwrap_or_default().to_lowercase();
        let is_script = name == "evalsha" || name == "eval";
        let what = match is_script {
            true => script(words.nth(1).unwrap_or_default()),
            false => name,
        };
        *self.asked.entry(what.clone()).or_default() += 1;
        self.last = what;
    }
}

/// The file of a script, or the first digits by which the server knows it.
fn script(sha: &str) -> String {
    let known = store::script_of(sha).map(|name| format!("{name}.lua"));
    known.unwrap_or_else(|| format!("script {}", sha.get(..8).unwrap_or(sha)))
}

/// Listens to everything a server is told. It costs the server much: counts are true meanwhile, times are not.
pub struct Monitor {
    port: u16,
    thread: JoinHandle<Heard>,
}

impl Monitor {
    /// Begins to listen.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    #[must_use]
    pub fn start(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server answers");
        stream.write_all(b"MONITOR\r\n").expect("it reads");
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).expect("it agrees");
        let thread = std::thread::spawn(move || {
            let mut heard = Heard::default();
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
                let text = String::from_utf8_lossy(&line);
                if read == 0 || text.contains(LAST) {
                    return heard;
                }
                heard.line(&text);
            }
        });
        Self { port, thread }
    }

    /// Ends it, and tells what was heard.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    #[must_use]
    pub fn stop(self) -> Heard {
        let mut connection = connect(self.port);
        let _: Value = redis::cmd("ECHO").arg(LAST).query(&mut connection).expect("it answers");
        self.thread.join().expect("the listener reads to its end")
    }
}

/// A plain connection, for what the programs under measurement do not do.
///
/// # Panics
///
/// The server does not answer.
#[must_use]
pub fn connect(port: u16) -> redis::Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
    client.get_connection().expect("the server answers")
}

/// Has the server note the time of every command from here on.
///
/// # Panics
///
/// It refuses.
pub fn time_commands(redis: &Redis) {
    let max = SLOWLOG_MAX.to_string();
    for (key, value) in [("slowlog-max-len", max.as_str()), ("slowlog-log-slower-than", "0")] {
        redis.command(&["CONFIG", "SET", key, value]).expect("it agrees");
    }
    redis.command(&["SLOWLOG", "RESET"]).expect("it agrees");
}

/// Calls and time (µs) of each script since [`time_commands`], and of what clients sent beside them.
///
/// # Panics
///
/// The server does not answer.
#[must_use]
pub fn timed(redis: &Redis) -> BTreeMap<String, (u64, u64)> {
    let mut connection = connect(redis.port());
    let slowlog = redis::cmd("SLOWLOG").arg("GET").arg(SLOWLOG_MAX).query(&mut connection);
    let entries: Vec<Entry> = slowlog.expect("a slow log");
    let mut times: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (_, _, took_us, words, _, _) in entries {
        let word = |at: usize| {
            let bytes = words.get(at).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let name = word(0).to_lowercase();
        // What runs inside a script is in the script's own time.
        if name == "evalsha" {
            let (calls, us) = times.entry(script(&word(1))).or_default();
            (*calls, *us) = (*calls + 1, *us + took_us);
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_taken_from_each_other() {
        let before = Counters::read(
            "used_memory:100\r\nused_cpu_sys:0.5\r\nused_cpu_user:0.25\r\ncmdstat_get:calls=3,usec=1\r\n",
        );
        let after = Counters::read(
            "used_memory:300\r\nmem_clients_normal:50\r\nused_cpu_sys:0.5\r\nused_cpu_user:0.5\r\n\
             cmdstat_get:calls=3,usec=1\r\ncmdstat_evalsha:calls=2,usec=9\r\n",
        );
        let came = after.since(&before);
        assert_eq!((came.commands(), came.cpu_us, came.bytes), (2.0, 250_000.0, 150.0));
        assert_eq!(came.calls.keys().collect::<Vec<_>>(), ["evalsha"]);
    }

    #[test]
    fn a_monitor_tells_clients_from_scripts() {
        let mut heard = Heard::default();
        for line in [
            "+1.5 [0 127.0.0.1:5] \"EVALSHA\" \"0123456789abcdef\" \"1\" \"k\"",
            "+1.5 [0 lua] \"HGET\" \"k\" \"f\"",
            "+1.5 [0 lua] \"HSET\" \"k\" \"f\" \"] \\\"x\"",
            "+1.5 [0 127.0.0.1:5] \"TIME\"",
        ] {
            heard.line(line);
        }
        let counts = |map: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
            map.iter().map(|(name, n)| (name.clone(), *n)).collect()
        };
        let script = "script 01234567".to_owned();
        assert_eq!(counts(&heard.asked), [(script.clone(), 1), ("time".to_owned(), 1)]);
        assert_eq!(counts(&heard.inside), [(script, 2)]);
    }
}
