//! What is played.

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Jobs of each kind there is more than one of.
    pub each: u32,
}

impl Default for Order {
    fn default() -> Self {
        Self { each: 4 }
    }
}

/// Reads the words behind the program's name.
///
/// # Errors
///
/// What is not understood, in words.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Order, String> {
    let mut order = Order::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--each" => {
                let value = words.next().unwrap_or_default();
                let number = value.parse().ok().filter(|number| (1..=10_000).contains(number));
                order.each = number.ok_or_else(|| {
                    format!("--each {value:?}: expected a number of jobs, 1 to 10000")
                })?;
            }
            other => return Err(format!("{other:?} is unknown; there is --each N")),
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Order, String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn an_order_is_read_or_told_what_is_wrong() {
        assert_eq!(read(&[]), Ok(Order::default()));
        assert_eq!(read(&["--each", "40"]), Ok(Order { each: 40 }));
        for wrong in [&["--each"][..], &["--each", "0"], &["--each", "many"], &["--all"]] {
            assert!(read(wrong).is_err_and(|why| why.contains("--each")), "{wrong:?}");
        }
    }
}
