//! `top`: a pool on a terminal, drawn anew as it changes.
//!
//! Three parts, so that each can be tested alone: [`model`] is what is shown and what a key does to it, without a clock
//! or a socket; [`view`] is a pure function from it to a picture; [`watcher`] reads and obeys. What is left here is the
//! loop between them and the terminal.

mod dialog;
mod layout;
mod model;
mod screen;
mod view;
mod watcher;
mod words;

use crate::cli::{Global, TopArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Session, operator};
use model::{Model, Wish};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::Event;
use screen::{Screen, Signals};
use std::io::{self, IsTerminal};
use tokio::sync::mpsc;
use watcher::{News, Watcher};

/// Orders and news under way; who asks faster than this waits.
const UNDER_WAY: usize = 32;
/// The picture of `--once`.
const ONCE_COLUMNS: u16 = 120;
const ONCE_ROWS: u16 = 32;

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: TopArgs) -> Outcome {
    let on_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !(args.once || on_terminal) {
        let what = "`top` draws on a terminal, and there is none";
        return Err(Failure::usage(what).hint(
            "`seedfleet queue status` and `seedfleet limits show` tell it in rows, `seedfleet top --once` as one picture",
        ));
    }
    let session = Session::open(global).await?;
    let filter = args.conditions.clone().unwrap_or_default();
    let color = !args.once && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let pool = &session.pool;
    let model = Model::new(session.store.pool(), pool.route, filter.clone(), color);
    let model = model.simulated(pool.simulated);
    let watcher = Watcher::new(session, filter, operator(args.by.as_deref()))?;
    if args.once {
        return once(model, watcher).await;
    }
    watch(model, watcher, args).await
}

/// One picture as text.
async fn once(mut model: Model, mut watcher: Watcher) -> Outcome {
    model.hear(News::Look(Box::new(watcher.look().await?)));
    let Ok(mut terminal) = Terminal::new(TestBackend::new(ONCE_COLUMNS, ONCE_ROWS));
    let Ok(_) = terminal.draw(|frame| view::view(&model, frame));
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(ONCE_COLUMNS));
    // The last one tells keys, which nobody can press.
    let rows = rows.take(usize::from(ONCE_ROWS) - 1);
    let lines = rows.map(|cells| cells.iter().map(|cell| cell.symbol()).collect::<String>());
    let text: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    output::say(&format!("{}\n", text.trim_end()))?;
    Ok(Exit::Done)
}

async fn watch(mut model: Model, watcher: Watcher, args: TopArgs) -> Outcome {
    let mut signals = Signals::listen()?;
    let (orders, obeyed) = mpsc::channel(UNDER_WAY);
    let (tell, mut news) = mpsc::channel(UNDER_WAY);
    let mut screen = Screen::open()?;
    let mut keys = screen::keys(UNDER_WAY)?;
    let work = tokio::spawn(watcher.work(args.interval, obeyed, tell));
    let ended = loop {
        screen.draw(&model)?;
        let wish = tokio::select! {
            key = keys.recv() => match key {
                Some(Ok(Event::Key(key))) => model.press(key),
                // A new size is drawn on like any other event.
                Some(Ok(_)) => None,
                Some(Err(error)) => break Err(error.into()),
                None => break Err(Failure::new(Exit::Failed, "the terminal went away")),
            },
            told = news.recv() => match told {
                Some(told) => {
                    model.hear(told);
                    None
                }
                None => break Err(Failure::new(Exit::Failed, "the part that reads has ended")),
            },
            () = signals.asked() => break Ok(Exit::Interrupted),
        };
        match wish {
            Some(Wish::Quit) => break Ok(Exit::Done),
            Some(Wish::Break) => break Ok(Exit::Interrupted),
            Some(Wish::Order(order)) => {
                let taken = orders.try_send(order);
                if taken.is_err() {
                    model.hear(News::Said("not done: Redis has not answered yet".to_owned()));
                }
            }
            None => {}
        }
    };
    drop(screen);
    work.abort();
    ended
}
