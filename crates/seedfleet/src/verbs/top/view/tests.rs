use super::*;
use crate::verbs::top::model::tests::{id, look, model, press};
use crate::verbs::top::watcher::News;
use job::filter::Filter;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use seedance::Route;

fn drawn(model: &Model, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("it is in memory");
    terminal.draw(|frame| view(model, frame)).expect("it is in memory");
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.content().chunks(usize::from(buffer.area().width));
    let line = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned()
    };
    rows.map(line).collect()
}

fn page(model: &Model) -> String {
    lines(&drawn(model, 120, 30)).join("\n")
}

#[track_caller]
fn says(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "{words:?} is not in:\n{page}");
    }
}

#[test]
fn the_picture_tells_what_the_design_asks_for() {
    says(
        &page(&model()),
        &[
            "seedfleet prod  byteplus  22:14:03Z  redis 41%  spend today USD 5,880.25/8,000.00",
            "IN 0.00/s  OUT 0.28/s   queued 584,990 (oldest 17d0h)   in doubt 0   url-ttl min 22h51m",
            "states  queued 584,990 · running 36 · failed 1,976",
            "slots 2.0      36/40 [ooooooooooooOOOOOOOOOOOO###########?····]  creates/min 17/600",
            "submit waiting 584,990 due 584,990 at work 1",
            "submitter 2 (nothing to do)",
            "LIMITED BY  The provider's concurrency limits: 40 of 40 slots of 2.0 are taken.",
            "FAILED 15m  InputTextSensitive 2 · ProviderInternal 1",
            "── jobs: all: the newest 3",
            "job_01JB2AAAAAAAAAAAAAAAAAAAA1 running     1m00s   row-1",
            "[q]uit  [/]filter",
        ],
    );
}

#[test]
fn many_slots_share_cells_and_one_in_use_is_never_drawn_as_none() {
    let mut model = model();
    let mut look = look();
    let class = &mut look.glance.limits.accounts[0].classes[0];
    (class.slots, class.slots_used) = (4_000, 1);
    look.glance.slots.truncate(1);
    model.hear(News::Look(Box::new(look)));
    let page = page(&model);
    says(&page, &["slots 2.0      1/4000 [o·····"]);
    let cells = page.chars().filter(|c| *c == '·').count();
    assert!((50..=62).contains(&cells), "{cells} cells:\n{page}");
}

#[test]
fn without_colour_there_is_none_and_with_it_doubt_is_red() {
    let colours = |model: &Model| {
        let buffer = drawn(model, 120, 30);
        let of = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        let doubt = buffer.content().iter().find(|cell| cell.symbol() == "?").map(|cell| cell.fg);
        (buffer.content().iter().filter(|cell| of(cell)).count(), doubt)
    };
    let mut model = model();
    let (some, doubt) = colours(&model);
    assert!(some > 0);
    assert_eq!(doubt, Some(Color::Red));
    model.color = false;
    assert_eq!(colours(&model), (0, Some(Color::Reset)));
}

#[test]
fn every_size_is_drawn_and_what_is_asked_stays_in_sight() {
    let mut model = model();
    for (columns, rows) in [(1, 1), (39, 9), (40, 10), (80, 24), (200, 60), (500, 200)] {
        for keys in ["f", "\x1b", "\n", "\x1b", "/x=\n", "\x1b", "p", "\n", "\x1b"] {
            press(&mut model, keys);
            let buffer = drawn(&model, columns, rows);
            assert_eq!(buffer.area().width, columns);
        }
        press(&mut model, "p\nwhy not");
        let page = lines(&drawn(&model, columns, rows)).join("\n");
        if columns >= 80 {
            says(&page, &["pause for an hour: all creates; why? why not"]);
        }
        press(&mut model, "\x1b");
    }
    says(&lines(&drawn(&model, 39, 9)).join("\n"), &["needs 40 x 10"]);
}

#[test]
fn questions_news_and_troubles_stand_at_the_bottom() {
    let mut model = model();
    press(&mut model, "/stat=x\n");
    says(&page(&model), &["filter stat=x", "state"]);
    press(&mut model, "\x1bp");
    says(&page(&model), &["which step?  pause all creates  pause polls  pause downloads"]);
    press(&mut model, "\x1b");
    model.hear(News::Said("paused for 60 min: polls".into()));
    model.hear(News::Trouble("Redis is away".into()));
    says(&page(&model), &["NOT UP TO DATE: Redis is away", "paused for 60 min: polls", "[q]uit"]);
}

#[test]
fn failures_come_with_advice_and_a_job_with_its_way() {
    let mut model = model();
    press(&mut model, "fj");
    says(
        &page(&model),
        &["── failures by code", "content   1,604     3d11h", "ProviderInternal: edit the prompt"],
    );
    press(&mut model, "f\n");
    says(&page(&model), &["── job_01JB2AAAAAAAAAAAAAAAAAAAA1", "looking …"]);
    let mut look = look();
    let line = ["+0.0 s", "queued", "accepted", "outside"].map(str::to_owned);
    let facts = vec![("prompt".to_owned(), "a boat".to_owned())];
    look.open = Some(Detail { id: id(1), facts, timeline: vec![line] });
    model.hear(News::Look(Box::new(look.clone())));
    says(&page(&model), &["prompt  a boat", "+0.0 s  queued       accepted  (outside)"]);
    look.open = Some(Detail { id: id(1), facts: Vec::new(), timeline: Vec::new() });
    model.hear(News::Look(Box::new(look)));
    says(&page(&model), &["it is not in this pool any more"]);
}

#[test]
fn before_the_first_look_it_says_so() {
    let model = Model::new("sim", Route::Byteplus, Filter::all(), true).simulated(true);
    says(&page(&model), &["seedfleet sim  byteplus (simulated)  looking …"]);
}
