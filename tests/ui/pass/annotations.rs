//! The macros that are not attributes raise no warning, with any lints on.

#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_lifetimes, unreachable_code)]

use exectrace::{counter, instant, log, trace_region};

struct Row {
    id: u64,
    name: String,
}

fn in_scopes(row: &Row) -> usize {
    trace_region!("whole");
    let count = row.name.len();
    trace_region!("with arguments", id = row.id, count, ?count, first = ?row.name.chars().next());
    {
        trace_region!("inner", row.name = %row.name,);
    }
    count
}

fn around_expressions(row: &Row) -> Result<u64, std::num::ParseIntError> {
    let id = row.id;
    let parsed = trace_region!("parse" => row.name.parse::<u64>()?);
    let sum = trace_region!("sum", id, parsed => parsed + id);
    trace_region!("unit" => moments(row));
    Ok(trace_region!("typed", id = id, %parsed => sum))
}

fn moments(row: &Row) {
    const CATEGORY: &str = "net";
    instant!("bare");
    instant!("with arguments", id = row.id, name = row.name);
    log!("io", "plain");
    log!(CATEGORY, "{} of {name}", row.id, name = row.name);
    counter!("rows", row.id);
    counter!("load", 0.5_f32);
    if row.id > 0 {
        instant!("as a statement");
    } else {
        counter!("rows", 0_u8);
    }
}

#[test]
fn annotated_code_does_what_it_did() {
    let row = Row { id: 2, name: "40".to_owned() };
    assert_eq!(in_scopes(&row), 2);
    assert_eq!(around_expressions(&row), Ok(42));
    assert!(around_expressions(&Row { id: 1, name: "x".to_owned() }).is_err());
    moments(&row);
}
