//! `cargo exectrace`: what the traces of one run say together.

use std::io::Write;
use std::path::Path;

use trace_export::label::escape;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{libtest, print_more, print_table};
use crate::answer::ranking::{Named, Process, Ranked, Ranking, Spent};
use crate::error::Failure;
use crate::label::units;
use crate::output::Output;

/// Maximum number of characters of a name that are shown.
const NAME_CHARS_MAX: usize = 120;

/// Prints the lists that say something: of one process its life is in its summary, and where there
/// are tests or tasks, regions are details.
///
/// # Errors
/// If they can't be written.
pub fn print(ranking: &Ranking, out: &mut Output) -> Result<(), Failure> {
    let Ranking { processes, tests, tasks, regions, .. } = ranking;
    let is_one = processes.count() == 1;
    if processes.count() > 1 {
        let title = units::plural(processes.count() as u64, "process", "processes");
        section(&title, processes, processes_table(&processes.items), out)?;
    }
    let place = |path: &Path| if is_one { String::new() } else { file_name(path) };
    if tests.count() > 0 {
        let rows = tests.items.iter().map(|it| (&it.test, place(&it.path)));
        section("Tests, the longest first", tests, libtest::table(rows), out)?;
    }
    if tasks.count() > 0 {
        let title = "Tasks, the longest first (worked: by threads, for them)";
        section(title, tasks, tasks_table(&tasks.items, place), out)?;
    }
    if tests.count() + tasks.count() == 0 && processes.count() > 1 && regions.count() > 0 {
        let title = "Regions of all processes, by their own time";
        section(title, regions, regions_table(&regions.items), out)?;
    }
    Ok(())
}

fn section<T>(
    title: &str,
    list: &Ranked<T>,
    table: Table,
    out: &mut Output,
) -> Result<(), Failure> {
    writeln!(out, "\n{}", out.bold(title))?;
    print_table(out, table)?;
    Ok(print_more(out, list.omitted, "--top 0")?)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    escape::plain(&name.to_string_lossy(), NAME_CHARS_MAX)
}

fn processes_table(processes: &[Process]) -> Table {
    let mut table = Table::new(&[
        Column::Name("trace"),
        Column::Number("life"),
        Column::Number("events"),
        Column::Text("fault"),
    ]);
    for process in processes {
        let fault = match () {
            () if process.is_cut => "cut",
            () if process.has_loss => "LOST",
            () => "",
        };
        table.row([
            file_name(&process.path),
            units::time(process.life),
            units::count(process.events),
            fault.to_owned(),
        ]);
    }
    table.without_empty("fault", "")
}

/// - `place`: in which process the longest was.
fn tasks_table(tasks: &[Named], place: impl Fn(&Path) -> String) -> Table {
    let mut table = Table::new(&[
        Column::Name("task"),
        Column::Number("count"),
        Column::Number("total"),
        Column::Number("max"),
        Column::Number("worked"),
        Column::Number("waited"),
        Column::Number("on CPU"),
        Column::Number("ready"),
        Column::Number("blocked"),
        Column::Number("open"),
        Column::OptionalText("longest in", 0),
    ]);
    for task in tasks {
        let spent = |part: fn(Spent) -> Nanos| {
            task.spent.map_or_else(|| "-".to_owned(), |spent| units::time(part(spent)))
        };
        table.row([
            escape::plain(&task.name, NAME_CHARS_MAX),
            units::count(task.count),
            units::time(task.total),
            units::time(task.max),
            units::time(task.own),
            units::time(Nanos(task.total.0.saturating_sub(task.own.0))),
            spent(|spent| spent.cpu),
            spent(|spent| spent.ready),
            spent(|spent| spent.blocked),
            units::count(task.unfinished),
            place(&task.slowest),
        ]);
    }
    table
        .without_empty("on CPU", "-")
        .without_empty("ready", "-")
        .without_empty("blocked", "-")
        .without_empty("open", "0")
        .without_empty("count", "1")
        .without_empty("longest in", "")
}

fn regions_table(regions: &[Named]) -> Table {
    let mut table = Table::new(&[
        Column::Name("region"),
        Column::Number("self"),
        Column::Number("total"),
        Column::Number("count"),
        Column::Number("max"),
        Column::OptionalText("where", 0),
    ]);
    for region in regions {
        table.row([
            escape::plain(&region.name, NAME_CHARS_MAX),
            units::time(region.own),
            units::time(region.total),
            units::count(region.count),
            units::time(region.max),
            escape::plain(&region.place, NAME_CHARS_MAX),
        ]);
    }
    table
}
