//! A value over time as a small picture of text.

/// Eighths of a cell, from empty to full.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws values that belong to moments, which must be in order, as columns from 0 up.
///
/// - `columns`, `rows`: the picture's size in characters.
/// - Returns `rows` lines, the highest first; a column shows the greatest value of its stretch of
///   time, and the value before it where it has none. Nothing if there is nothing to draw.
#[must_use]
pub fn draw(points: &[(u64, u64)], columns: usize, rows: usize) -> Vec<String> {
    let (Some(&(first, _)), Some(&(last, _))) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let columns_of = by_column(points, (first, last), columns);
    let highest = columns_of.iter().copied().max().unwrap_or(0);
    if highest == 0 || rows == 0 {
        return Vec::new();
    }
    let full = (rows * 8) as u128;
    // Rounded up, so that every value above 0 is visible.
    let height = |value: u64| (u128::from(value) * full).div_ceil(u128::from(highest));
    let line = |row: usize| {
        let below = (row * 8) as u128;
        let cell = |value: &u64| EIGHTHS[height(*value).saturating_sub(below).min(8) as usize];
        columns_of.iter().map(cell).collect::<String>().trim_end().to_owned()
    };
    (0..rows).rev().map(line).collect()
}

/// The greatest value in each of `columns` equal stretches of time.
fn by_column(points: &[(u64, u64)], (first, last): (u64, u64), columns: usize) -> Vec<u64> {
    let length = u128::from(last.saturating_sub(first)) + 1;
    let column = |at: u64| {
        let since = u128::from(at.saturating_sub(first));
        ((since * columns as u128 / length) as usize).min(columns.saturating_sub(1))
    };
    let mut greatest = vec![None; columns];
    for &(at, value) in points {
        if let Some(cell) = greatest.get_mut(column(at)) {
            *cell = Some(cell.map_or(value, |other: u64| other.max(value)));
        }
    }
    let mut before = 0;
    greatest
        .into_iter()
        .map(|value| {
            before = value.unwrap_or(before);
            before
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_in_proportion_and_gaps_keep_the_value_before() {
        let points = [(0, 0), (1, 8), (2, 16), (5, 4)];
        assert_eq!(draw(&points, 6, 2), ["  ███", " ████▄"]);
        assert_eq!(draw(&[(7, 3)], 4, 1), ["████"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing_and_extremes_do_no_harm() {
        assert!(draw(&[], 10, 3).is_empty());
        assert!(draw(&[(1, 0), (2, 0)], 10, 3).is_empty());
        assert!(draw(&[(1, 1)], 0, 3).is_empty());
        let lines = draw(&[(0, 1), (u64::MAX, u64::MAX)], 3, 2);
        assert_eq!(lines, ["  █", "▁▁█"]);
    }
}
