//! What to measure: the words of a command line.

use crate::rows::Row;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Rows by name; none: all that are not slow.
    pub names: Vec<String>,
    /// Only tell which rows there are.
    pub list: bool,
    /// Only print the page anew, from the samples that are there.
    pub print: bool,
    /// Runs of each row; a row that takes minutes takes fewer and says so.
    pub runs: usize,
    /// Slow rows as well.
    pub long: bool,
    /// Peers beside us.
    pub peers: bool,
    /// Keep the samples and print the page.
    pub write: bool,
    /// Size of each row in percent of the usual.
    pub percent: usize,
    /// How long single posts go on, each with and without a flood; in several rounds.
    pub seconds: u64,
    /// Single posts a second.
    pub rate: u64,
    /// Forged callbacks a second beside them, in every other round.
    pub forged: u64,
    /// Jobs made by bulk, and then listed.
    pub jobs: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            list: false,
            print: false,
            runs: 5,
            long: false,
            peers: false,
            write: false,
            percent: 100,
            seconds: 20,
            rate: 500,
            forged: 2_000,
            jobs: 100_000,
        }
    }
}

impl Order {
    /// Reads the words of a command line.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut order = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => order.list = true,
                "--print" => order.print = true,
                "--long" => order.long = true,
                "--peers" => order.peers = true,
                "--write" => order.write = true,
                flag if flag.starts_with("--") => {
                    let value = words.next().ok_or_else(|| format!("{flag} takes a number"))?;
                    order.set(flag, &value)?;
                }
                name => order.name(name)?,
            }
        }
        Ok(order)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let number: u64 = value.parse().map_err(|_| format!("{flag}: {value:?} is no number"))?;
        let count = usize::try_from(number).unwrap_or(usize::MAX);
        match flag {
            "--runs" => self.runs = count.max(1),
            "--percent" => self.percent = count.max(1),
            "--seconds" => self.seconds = number.max(1),
            "--rate" => self.rate = number.max(1),
            "--forged" => self.forged = number,
            "--jobs" => self.jobs = count,
            other => {
                return Err(format!(
                    "{other} is none of --list, --print, --long, --peers, --write, --runs, --percent, \
                     --seconds, --rate, --forged, --jobs"
                ));
            }
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        let rows = crate::rows::ROWS;
        if !rows.iter().any(|row| row.name == name) {
            let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
            return Err(format!("no row {name:?}; there are: {}", known.join(", ")));
        }
        self.names.push(name.to_owned());
        Ok(())
    }

    /// True for a row that is to be measured.
    #[must_use]
    pub fn wants(&self, row: &Row) -> bool {
        match self.names.as_slice() {
            // Who asks for peers alone gets them alone.
            [] => self.long || !(self.peers || row.slow),
            names => names.iter().any(|name| name == row.name),
        }
    }

    /// So many, in the size that was asked for.
    #[must_use]
    pub fn sized(&self, count: usize) -> usize {
        (count * self.percent / 100).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read() {
        let words = |text: &str| Order::parse(text.split_whitespace().map(str::to_owned));
        let order = words("posts --seconds 2 --rate 50 --jobs 4000").expect("an order");
        assert_eq!((order.seconds, order.rate, order.jobs, order.forged), (2, 50, 4_000, 2_000));
        let wanted = |order: &Order| -> Vec<&str> {
            crate::rows::ROWS.iter().filter(|row| order.wants(row)).map(|row| row.name).collect()
        };
        assert_eq!(wanted(&order), ["posts"]);
        assert!(wanted(&words("--peers").expect("an order")).is_empty());
        let (usual, long) = (words("").expect("an order"), words("--long").expect("an order"));
        assert!(wanted(&usual).len() < wanted(&long).len());
        let everything = words("--long --peers").expect("an order");
        assert_eq!(wanted(&everything).len(), crate::rows::ROWS.len());
        assert_eq!(words("--percent 10").expect("an order").sized(500), 50);
        for bad in ["--seconds", "--speed 3", "--rate x", "lists-of-everything"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
