//! The query of a request: few keys, each at most once, numbers within limits.

use std::time::Duration;

use axum::http::StatusCode;
use exectrace::__private::HAS_NAMES;

use crate::refusal::Refusal;

/// Length of a recording if the query does not give one.
const SECONDS: f64 = 5.0;

/// Maximum length of a query.
const QUERY_BYTES_MAX: usize = 200;

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// How long to record.
    pub(crate) length: Duration,
    /// True to take what the flight recorder has, instead of recording.
    pub(crate) from_snapshot: bool,
    /// True to add the names of functions.
    pub(crate) with_names: bool,
}

impl Query {
    /// - `keys`: the keys that the page knows.
    pub(crate) fn parse(
        text: Option<&str>,
        keys: &[&str],
        seconds_max: u32,
    ) -> Result<Self, Refusal> {
        let text = text.unwrap_or_default();
        if text.len() > QUERY_BYTES_MAX {
            return Err(Refusal::bad("the query is too long"));
        }
        let (mut seconds, mut from, mut names) = (None, None, None);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !keys.contains(&key) {
                return Err(Refusal::bad(unknown(key, keys)));
            }
            let place = match key {
                "seconds" => &mut seconds,
                "names" => &mut names,
                _ => &mut from,
            };
            if place.replace(value).is_some() {
                return Err(Refusal::bad(format!("`{key}` is given twice")));
            }
        }
        let from_snapshot = match from {
            None => false,
            Some("snapshot") => true,
            Some(_) => return Err(Refusal::bad("`from` can be `snapshot`, and nothing else")),
        };
        let with_names = match names {
            None => false,
            Some("1") if HAS_NAMES => true,
            Some("1") => {
                let why = "this program was built without exectrace's feature `names`";
                return Err(Refusal::new(StatusCode::NOT_FOUND, why));
            }
            Some(_) => return Err(Refusal::bad("`names` can be `1`, and nothing else")),
        };
        if from_snapshot && seconds.is_some() {
            return Err(Refusal::bad("`seconds` does not go with `from=snapshot`: leave one out"));
        }
        let length = seconds.map_or(Ok(SECONDS.min(f64::from(seconds_max))), |text| {
            let seconds = text.parse::<f64>().ok();
            let fits = |it: &f64| *it > 0.0 && *it <= f64::from(seconds_max);
            seconds.filter(fits).ok_or_else(|| {
                let limit = format!("`seconds` is a number above 0, up to {seconds_max}");
                Refusal::bad(limit)
            })
        })?;
        Ok(Self { length: Duration::from_secs_f64(length), from_snapshot, with_names })
    }
}

fn unknown(key: &str, keys: &[&str]) -> String {
    let key: String = key.chars().filter(|letter| letter.is_ascii_graphic()).take(40).collect();
    match keys {
        [] => format!("`{key}` is not known: this page takes no query"),
        _ => format!("`{key}` is not known: this page takes {}", keys.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Query> {
        Query::parse(Some(text), &["seconds", "from"], 60).ok()
    }

    #[test]
    fn seconds_are_numbers_within_the_limit() {
        for (text, millis) in [("", 5_000), ("seconds=0.25", 250), ("&seconds=60&", 60_000)] {
            let query = parsed(text).expect(text);
            assert_eq!(query.length, Duration::from_millis(millis), "{text}");
        }
        for text in [
            "seconds=0",
            "seconds=-1",
            "seconds=60.001",
            "seconds=1e300",
            "seconds=nan",
            "seconds=inf",
            "seconds=",
            "seconds",
            "seconds=5s",
            "seconds=1&seconds=1",
            "second=1",
            "seconds=%35",
            "from=",
            "from=now",
            "from=snapshot&seconds=1",
            "=",
            "seconds=1=1",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parsed(&format!("seconds=1{}", "0".repeat(200))), None);
        let short = Query::parse(None, &["seconds"], 2).expect("the default gives way");
        assert_eq!(short.length, Duration::from_secs(2));
    }

    #[test]
    fn names_are_asked_for_where_they_are_known() {
        let query = |text| Query::parse(Some(text), &["names"], 60);
        assert_eq!(query("names=1").map(|it| it.with_names).ok(), HAS_NAMES.then_some(true));
        assert_eq!(query("").map(|it| it.with_names).ok(), Some(false));
        for text in ["names", "names=", "names=0", "names=1&names=1"] {
            assert!(query(text).is_err(), "{text}");
        }
        assert!(Query::parse(Some("names=1"), &["seconds"], 60).is_err());
    }

    #[test]
    fn a_limit_is_said_and_a_page_knows_its_own_keys_only() {
        let refusal = Query::parse(Some("seconds=61"), &["seconds"], 60).expect_err("too long");
        assert!(refusal.text.contains("up to 60"), "{}", refusal.text);
        assert!(Query::parse(Some("from=snapshot"), &["seconds"], 60).is_err());
        assert!(Query::parse(Some("seconds=1"), &[], 60).is_err());
    }
}
