//! Numbers as people read them: three significant digits and a unit.

use crate::time::Moment;
use trace_format::time::Nanos;

/// A duration: `12.3 ms`. From 1000 s on in hours, minutes and seconds.
#[must_use]
pub fn time(nanos: Nanos) -> String {
    let mut out = String::with_capacity(8);
    push_time(&mut out, nanos);
    out
}

/// Appends the same: for texts of which there are millions.
pub fn push_time(out: &mut String, nanos: Nanos) {
    let ns = nanos.0;
    match ns {
        0..1_000 => {
            push_number(out, ns);
            out.push_str(" ns");
        }
        // It would be printed as 1000 s.
        999_500_000_000.. => {
            out.push_str(&long_time(ns.saturating_add(500_000_000) / 1_000_000_000));
        }
        _ => push_three_digits(out, ns),
    }
}

/// - `ns`: from 1,000 on, and less than 999.5 s.
fn push_three_digits(out: &mut String, ns: u64) {
    const UNITS: [(u64, &str); 3] = [(1_000, " µs"), (1_000_000, " ms"), (1_000_000_000, " s")];
    // 999.5 would be printed as 1000.
    let fits = |&&(unit, _): &&(u64, &str)| 2 * ns < 1_999 * unit;
    let (unit, name) = *UNITS.iter().find(fits).unwrap_or(&UNITS[2]);
    let (digits, scale) = match ns {
        _ if 1_000 * ns < 9_995 * unit => (2, 100),
        _ if 100 * ns < 9_995 * unit => (1, 10),
        _ => (0, 1),
    };
    let (whole, rest) = (ns * scale / unit, ns * scale % unit);
    if 2 * rest == unit {
        // How a number in the middle is rounded is said in one place.
        out.push_str(&scaled(ns as f64, &["ns", "µs", "ms", "s"]));
        return;
    }
    let rounded = whole + u64::from(2 * rest > unit);
    push_number(out, rounded / scale);
    if digits > 0 {
        out.push('.');
        push_digits(out, rounded % scale, digits);
    }
    out.push_str(name);
}

/// Appends a number.
pub fn push_number(out: &mut String, number: u64) {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    push_digits(out, number, digits);
}

/// Appends the last digits of a number: 20 at most.
fn push_digits(out: &mut String, mut number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    let text = &mut text[..digits.min(20)];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.push_str(std::str::from_utf8(text).unwrap_or_default());
}

/// A duration that was found among so many; `-` if there were none.
#[must_use]
pub fn time_of(count: u64, nanos: Nanos) -> String {
    if count > 0 { time(nanos) } else { "-".to_owned() }
}

fn long_time(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}m {seconds:02}s"),
        1..1000 => format!("{hours}h {minutes:02}m"),
        _ => format!("{} h", count(hours)),
    }
}

/// A moment since the begin of the trace, to the nanosecond: `1.000000000`.
#[must_use]
pub fn moment(nanos: Nanos) -> String {
    let mut out = String::with_capacity(13);
    push_moment(&mut out, nanos);
    out
}

/// Appends the same.
pub fn push_moment(out: &mut String, nanos: Nanos) {
    push_number(out, nanos.0 / 1_000_000_000);
    out.push('.');
    push_digits(out, nanos.0 % 1_000_000_000, 9);
}

/// When something began: `1.000000000 s`, or `5.00 s before the trace`.
#[must_use]
pub fn since(begin: Moment) -> String {
    match begin.before_trace() {
        Nanos(0) => format!("{} s", moment(begin.inside())),
        before => format!("{} before the trace", time(before)),
    }
}

/// A count, whole up to seven digits: `1,234,567`, then `12.3 M`.
#[must_use]
pub fn count(count: u64) -> String {
    if count >= 10_000_000 {
        return scaled(count as f64, &["", "k", "M", "G", "T", "P", "E"]);
    }
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size: `12.3 MB`; a MB has a million bytes.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        _ => scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"]),
    }
}

/// A part of a whole: `12.3%`; nothing of nothing is `-`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 / whole as f64 * 100.0;
    match percent {
        0.0 => "0%".to_owned(),
        _ if percent < 0.05 => "<0.1%".to_owned(),
        _ if percent < 99.95 => format!("{percent:.1}%"),
        _ => format!("{percent:.0}%"),
    }
}

/// A sum that stays at its greatest: a damaged trace may have any numbers.
#[must_use]
pub fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

/// `one` or `many`, with the count in front.
#[must_use]
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut at = 0;
    // 999.5 would be printed as 1000.
    while value >= 999.5 && at + 1 < units.len() {
        value /= 1000.0;
        at += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", units[at]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_never_four() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (999_499_999_999, "999 s"),
            (999_500_000_000, "16m 40s"),
            (1_000_000_000_000, "16m 40s"),
            (7_384_000_000_000, "2h 03m"),
            (u64::MAX, "5,124,095 h"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(time(Nanos(nanos)), expected);
        }
        assert_eq!([0, 1].map(|count| time_of(count, Nanos(0))), ["-", "0 ns"]);
    }

    #[test]
    fn times_are_rounded_as_floating_point_numbers_are() {
        // Around what is in the middle of two texts, and where a unit or a digit more begins.
        let middles: [u64; 10] =
            [1_005, 1_015, 9_985, 9_995, 10_050, 12_250, 99_850, 99_950, 100_500, 999_500];
        let units: [u64; 3] = [1, 1_000, 1_000_000];
        let around = middles.iter().flat_map(|middle| units.map(|unit| middle * unit));
        for ns in around.flat_map(|at| at - 2..=at + 2).filter(|ns| *ns < 999_500_000_000) {
            let expected = scaled(ns as f64, &["ns", "µs", "ms", "s"]);
            assert_eq!(time(Nanos(ns)), expected, "{ns}");
        }
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for number in [0, 9, 10, 99, 100, 12_345_678_901, u64::MAX] {
            let mut out = String::from("#");
            push_number(&mut out, number);
            assert_eq!(out, format!("#{number}"));
        }
        let moments = [0, 1, 999_999_999, 12_000_000_000, u64::MAX].map(|ns| moment(Nanos(ns)));
        let last = "18446744073.709551615";
        assert_eq!(moments, ["0.000000000", "0.000000001", "0.999999999", "12.000000000", last]);
    }

    #[test]
    fn counts_sizes_and_parts_read_well() {
        let counts = [0, 999, 1_000, 9_999_999, 10_000_000, u64::MAX].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "9,999,999", "10.0 M", "18.4 E"]);
        assert_eq!([0, 999, 1_500, 123_456_789].map(bytes), ["0 B", "999 B", "1.50 kB", "123 MB"]);
        let parts = [(0, 9), (1, 0), (1, 9), (1, 10_000), (9, 9), (18, 9), (9999, 10_000)];
        let parts = parts.map(|(part, whole)| percent(part, whole));
        assert_eq!(parts, ["0%", "-", "11.1%", "<0.1%", "100%", "200%", "100%"]);
        assert_eq!(moment(Nanos(1_000_000_001)), "1.000000001");
        assert_eq!(since(Moment(2_000_000_000)), "2.000000000 s");
        assert_eq!(since(Moment(-2_000_000_000)), "2.00 s before the trace");
    }
}
