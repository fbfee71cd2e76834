//! The plain writes of a commit, in the words of `commit.lua`.

use crate::facts::Move;
use job::Record;
use serde::Serialize;

/// The plain writes, the many alike of them in few words: what they cost is read and unpacked in the script.
#[derive(Default, Serialize)]
pub(super) struct Writes {
    created: String,
    list: Vec<usize>,
    unlist: Vec<usize>,
    counts: Vec<CountWord>,
    moves: Vec<Move>,
}

/// A word of `counts`.
#[derive(Serialize)]
#[serde(untagged)]
enum CountWord {
    Key(usize),
    Text(String),
}

impl Writes {
    /// Nothing gets lost: what is not known to be alike stays a move.
    pub(super) fn of(moves: Vec<Move>, record: &Record) -> Self {
        let (created, id) = (record.created_at.unix_ms().to_string(), record.id.as_str());
        let mut writes = Self::default();
        for Move(command, key, args, longest) in moves {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            match (command, words.as_slice()) {
                ("ZADD", [at, member]) if *at == created && *member == id => writes.list.push(key),
                ("ZREM", [member]) if *member == id => writes.unlist.push(key),
                ("HINCRBY", [field, step]) => writes.counts.extend([
                    CountWord::Key(key),
                    CountWord::Text((*field).to_owned()),
                    CountWord::Text((*step).to_owned()),
                ]),
                _ => writes.moves.push(Move(command, key, args, longest)),
            }
        }
        Self { created, ..writes }
    }
}
