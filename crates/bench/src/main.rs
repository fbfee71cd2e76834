//! The benchmark as a program; `cargo xtask bench` builds and starts it.
#![forbid(unsafe_code)]

use std::io::{Result, Write};
use std::process::ExitCode;

use bench::order::Order;
use bench::report::Report;
use bench::{peers, rows};

fn main() -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let order = match Order::parse(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(why) => {
            writeln!(std::io::stderr(), "bench: {why}")?;
            return Ok(ExitCode::from(2));
        }
    };
    if order.list {
        for row in rows::ROWS {
            writeln!(out, "{:<10} {}", row.name, row.about)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::read()?;
    if order.print {
        report.write()?;
        return Ok(ExitCode::SUCCESS);
    }
    for row in rows::ROWS.iter().filter(|row| order.wants(row)) {
        writeln!(std::io::stderr(), "bench: {} ({})", row.name, row.about)?;
        let figures = (row.run)(&order);
        writeln!(out, "{}", bench::figure::table(&figures))?;
        report.put(row.name, figures);
        // After each row: what was measured is not lost with what comes after it.
        report.keep(&order)?;
    }
    if order.peers {
        for (name, figures) in peers::all(&order) {
            writeln!(out, "{}", bench::figure::table(&figures))?;
            report.put(&name, figures);
            report.keep(&order)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
