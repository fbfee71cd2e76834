//! Changing an input a little: what one bit, one number, one word or one cut can do to it.

use crate::dice::Dice;

/// Pieces that readers of numbers, texts and sizes stumble over.
const ODD: [&[u8]; 18] = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x01",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xc0\xaf",
    b"\\u0000",
    b"\\ud800",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"\r\n",
    b"[[[[[[[[[[[[[[[[[[[[",
    b"{\"",
    b"null",
];

/// Makes new inputs of known ones.
#[derive(Debug)]
pub(crate) struct Changer<'a> {
    dice: Dice,
    words: &'a [&'a str],
    length_max: usize,
}

impl<'a> Changer<'a> {
    /// `words`: what the target's language is made of.
    pub(crate) fn new(dice: Dice, words: &'a [&'a str], length_max: usize) -> Self {
        Self { dice, words, length_max }
    }

    /// One input of the pool after one to eight changes.
    pub(crate) fn change(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        // Half of the time one of the latest: they are the ones that led somewhere new.
        let newest = pool.len().saturating_sub(16);
        let at = match self.dice.below(2) {
            0 => self.dice.below(pool.len()),
            _ => newest + self.dice.below(pool.len() - newest),
        };
        let mut input = pool.get(at).cloned().unwrap_or_default();
        for _ in 0..=self.dice.below(8) {
            self.once(&mut input, pool);
        }
        input.truncate(self.length_max);
        input
    }

    fn once(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.dice.below(input.len() + 1);
        let span = at..(at + 1 + self.dice.below(16)).min(input.len()).max(at);
        match self.dice.below(9) {
            0 => {
                let bit = 1 << self.dice.below(8);
                input.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
            }
            1 => {
                let byte = self.dice.byte();
                input.get_mut(at).into_iter().for_each(|old| *old = byte);
            }
            2 => {
                let step = self.dice.below(9) as u8;
                input.get_mut(at).into_iter().for_each(|byte| {
                    *byte = byte.wrapping_add(step).wrapping_sub(4);
                });
            }
            3 => drop(input.drain(span)),
            4 => {
                let piece = input[span].to_vec();
                put(input, at, &piece);
            }
            5 => {
                let odd = self.dice.pick(&ODD).unwrap_or_default();
                put(input, at, odd);
            }
            6 => {
                let word = self.dice.pick(self.words).unwrap_or_default();
                put(input, at, word.as_bytes());
            }
            7 => {
                // The head of this one, the tail of another.
                let other = pool.get(self.dice.below(pool.len())).cloned().unwrap_or_default();
                let from = self.dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
    }
}

fn put(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
