//! Tables that fit the terminal: what does not fit is left out by importance, names are shortened.
//!
//! With a width, columns that may be left out go first, the least important one before the others,
//! and a `…` behind the titles says so; then the one column of names is shortened from the left,
//! because the right end of a path says most. Without a width (the output is no terminal)
//! everything is printed whole.

use comfy_table::{CellAlignment, ContentArrangement};
use unicode_width::UnicodeWidthStr;

/// A name is not made shorter than this.
const NAME_WIDTH_MIN: usize = 20;
/// Between two columns.
const GAP: usize = 2;
/// Behind the titles if there are more columns than fit.
const MORE: &str = "…";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text to the left; shortened if it must be. One per table.
    Name(&'static str),
    /// Text to the left.
    Text(&'static str),
    /// A number, to the right.
    Number(&'static str),
    /// A number that may be left out; the lowest goes first.
    Optional(&'static str, u8),
    /// Text to the left that may be left out.
    OptionalText(&'static str, u8),
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Name(title)
            | Self::Text(title)
            | Self::Number(title)
            | Self::Optional(title, _)
            | Self::OptionalText(title, _) => title,
        }
    }

    const fn importance(self) -> u8 {
        match self {
            Self::Optional(_, importance) | Self::OptionalText(_, importance) => importance,
            _ => u8::MAX,
        }
    }

    const fn alignment(self) -> CellAlignment {
        match self {
            Self::Number(_) | Self::Optional(..) => CellAlignment::Right,
            _ => CellAlignment::Left,
        }
    }
}

/// Rows under a line of titles. Cells must be safe to print already.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// Whether columns were left out that did not fit.
    is_cut: bool,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), is_cut: false }
    }

    /// Adds a row: a cell for each column.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Leaves out a column that says nothing: none of its cells does.
    #[must_use]
    pub fn without_empty(mut self, title: &str, empty: &str) -> Self {
        let Some(at) = self.columns.iter().position(|column| column.title() == title) else {
            return self;
        };
        if self.rows.iter().all(|row| row[at] == empty) {
            self.remove(at);
        }
        self
    }

    fn remove(&mut self, at: usize) {
        self.columns.remove(at);
        for row in &mut self.rows {
            row.remove(at);
        }
    }

    /// The lines of the table, at most `width` wide as far as that is possible.
    #[must_use]
    pub fn render(mut self, width: Option<usize>) -> String {
        if let Some(width) = width {
            self.fit(width);
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| column.title()));
        for row in self.rows {
            table.add_row(row);
        }
        for (column, kind) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, GAP as u16));
            column.set_cell_alignment(kind.alignment());
        }
        let mut lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        if let Some(titles) = lines.first_mut().filter(|_| self.is_cut) {
            titles.push_str(&format!("{:GAP$}{MORE}", ""));
        }
        lines.join("\n") + "\n"
    }

    fn fit(&mut self, width: usize) {
        loop {
            // Where it is changes when a column in front of it goes.
            let name = self.columns.iter().position(|column| matches!(column, Column::Name(_)));
            let widths: Vec<_> = (0..self.columns.len()).map(|at| self.width(at)).collect();
            let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let room = if self.is_cut { width.saturating_sub(GAP + MORE.width()) } else { width };
            let Some(over) = all.checked_sub(room).filter(|over| *over > 0) else { return };
            let name_width = name.map_or(0, |at| widths[at]);
            let spare = name_width.saturating_sub(NAME_WIDTH_MIN);
            let least = self.columns.iter().enumerate().min_by_key(|(_, c)| c.importance());
            match least {
                Some((at, column)) if over > spare && column.importance() < u8::MAX => {
                    self.remove(at);
                    self.is_cut = true;
                }
                _ => {
                    let Some(name) = name else { return };
                    let room = name_width.saturating_sub(over).max(NAME_WIDTH_MIN);
                    for row in &mut self.rows {
                        row[name] = shorten(&row[name], room);
                    }
                    return;
                }
            }
        }
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[at].width());
        cells.chain([self.columns[at].title().width()]).max().unwrap_or(0)
    }
}

/// The right end of a name, at a path's joint if there is one near, with `…` in front.
#[must_use]
pub fn shorten(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let room = width.saturating_sub(1);
    let fits = |at: &usize| name[*at..].width() <= room;
    let mut starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    let start = starts.find(fits).unwrap_or(name.len());
    // A whole segment of the path reads better, unless that would cost more than a third.
    let joint = name[start..].find("::").map(|at| start + at);
    let start = joint.filter(|at| name[*at..].width() * 3 >= room * 2).unwrap_or(start);
    format!("…{}", &name[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::Name("name"),
            Column::Number("count"),
            Column::Optional("p90", 1),
            Column::OptionalText("where", 0),
        ]);
        let name = "app::index::builder::build_posting_lists";
        table.row([name, "12", "1.00 ms", "src/index/builder.rs:120"].map(str::to_owned));
        table.row(["app::main", "1,234", "12.3 s", "src/main.rs:7"].map(str::to_owned));
        table
    }

    #[test]
    fn without_a_width_everything_is_there() {
        let text = table().render(None);
        assert!(text.contains("build_posting_lists") && text.contains("src/main.rs:7"));
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn every_width_is_kept_and_the_least_important_goes_first() {
        for width in 30..120 {
            let text = table().render(Some(width));
            let widest = text.lines().map(UnicodeWidthStr::width).max();
            assert!(widest <= Some(width), "{widest:?} in {width}:\n{text}");
            assert!(text.contains("1,234"), "counts are never left out");
            assert!(text.contains("where") <= text.contains("p90"), "in {width}:\n{text}");
            let is_said = text.lines().next().is_some_and(|titles| titles.ends_with("  …"));
            assert_eq!(is_said, !text.contains("where"), "in {width}:\n{text}");
        }
    }

    #[test]
    fn columns_in_front_of_the_name_may_go_and_the_name_is_still_what_is_shortened() {
        for width in 40..90 {
            let mut table = Table::new(&[
                Column::Number("waited"),
                Column::Optional("p50", 2),
                Column::Optional("p99", 1),
                Column::Name("function"),
                Column::Text("for"),
            ]);
            let name = "app::index::builder::build_posting_lists";
            table.row(["1.00 s", "10.0 ms", "20.0 ms", name, "mutex"].map(str::to_owned));
            let text = table.render(Some(width));
            let widest = text.lines().map(UnicodeWidthStr::width).max();
            assert!(widest <= Some(width), "{widest:?} in {width}:\n{text}");
            assert!(text.contains("1.00 s") && text.contains("posting_lists"), "{width}:\n{text}");
        }
    }

    #[test]
    fn names_lose_their_front_at_a_joint() {
        assert_eq!(shorten("app::index::build", 17), "app::index::build");
        assert_eq!(shorten("app::index::build", 15), "…::index::build");
        assert_eq!(shorten("app::index::build_lists", 10), "…ild_lists");
        assert_eq!(shorten("日本語の名前", 5), "…名前");
    }

    #[test]
    fn numbers_end_where_their_column_ends() {
        let mut table = Table::new(&[Column::Name("n"), Column::Number("count")]);
        table.row(["a".to_owned(), "1".to_owned()]);
        assert_eq!(table.render(None), "n  count\na      1\n");
    }
}
