//! The duration in `min = "10us"`: a decimal number and a unit, to whole nanoseconds.
//!
//! Exact or refused: nothing is rounded, and nothing overflows.
//!
//! Elsewhere: on which functions `min` may stand (`check`).

/// The units and how many nanoseconds each has, as a power of ten. The order matters: `s` is a
/// suffix of the others.
const UNITS: [(&str, u32); 4] = [("ns", 0), ("us", 3), ("ms", 6), ("s", 9)];

/// Nanoseconds of a duration such as `10us`, `1.5ms` or `2s`.
///
/// # Errors
/// What is wrong with `text`, ready to be shown at the literal.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let (number, exponent) = UNITS
        .iter()
        .find_map(|(unit, exponent)| Some((text.strip_suffix(unit)?, *exponent)))
        .ok_or_else(|| wanted("a unit (ns, us, ms or s) is missing"))?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(wanted("digits are missing after the point")),
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit()) {
        return Err(wanted("the number is not a decimal one"));
    }
    let fraction = fraction.trim_end_matches('0');
    let finer = exponent.checked_sub(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
    let Some(finer) = finer else {
        return Err("a duration finer than a nanosecond cannot be measured".to_owned());
    };
    // The digits without the point count units of 10^finer nanoseconds.
    format!("{whole}{fraction}")
        .parse::<u64>()
        .ok()
        .and_then(|digits| digits.checked_mul(10_u64.pow(finer)))
        .ok_or_else(|| "this many nanoseconds do not fit 64 bits".to_owned())
}

fn wanted(fault: &str) -> String {
    format!("expected a duration such as \"10us\": {fault}")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn each_unit_is_its_number_of_nanoseconds() {
        let cases = [
            ("0ns", 0),
            ("7ns", 7),
            ("10us", 10_000),
            ("1.5us", 1_500),
            ("0.25ms", 250_000),
            ("3ms", 3_000_000),
            ("2s", 2_000_000_000),
            ("0.000000001s", 1),
            ("1.000ns", 1),
            ("18446744073709551615ns", u64::MAX),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_its_reason() {
        let cases = [
            ("", "unit"),
            ("10", "unit"),
            ("10m", "unit"),
            ("us", "decimal"),
            (".5us", "decimal"),
            ("1.us", "after the point"),
            ("-1us", "decimal"),
            ("1 us", "decimal"),
            ("1e3us", "decimal"),
            ("1.2.3us", "decimal"),
            ("0.1ns", "finer"),
            ("1.500ns", "finer"),
            ("1.0001us", "finer"),
            ("18446744073709551616ns", "64 bits"),
            ("99999999999s", "64 bits"),
        ];
        for (text, reason) in cases {
            let found = parse(text).expect_err(text);
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
