//! Arguments of every kind keep their types, and are cut at the format's limits.

mod common;

use common::record;
use exectrace::{Task, counter, instant, log, trace_region, traced};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;

#[test]
fn numbers_keep_their_types() {
    let recorded = record(|| {
        instant!("unsigned", a = 1_u8, b = u16::MAX, c = u32::MAX, d = u64::MAX, e = 5_usize);
        instant!("signed", a = -1_i8, b = i16::MIN, c = i32::MIN, d = i64::MIN, e = 7_isize);
        instant!("wide", a = u128::MAX, b = i128::MIN);
        instant!("floats", a = 0.5_f32, b = -0.0_f64, c = f64::INFINITY, d = f64::NAN);
        instant!("others", a = true, b = false, c = 'x', d = '\u{10ffff}', e = '\n');
        instant!("nonzero", a = NonZeroU16::MIN, b = std::num::NonZeroI64::MIN);
    });
    let expected = [
        "! unsigned(a=1u, b=65535u, c=4294967295u, d=18446744073709551615u, e=5u)",
        "! signed(a=-1i, b=-32768i, c=-2147483648i, d=-9223372036854775808i, e=7i)",
        "! wide(a=340282366920938463463374607431768211455u128, \
         b=-170141183460469231731687303715884105728i128)",
        "! floats(a=0.5f, b=-0f, c=inff, d=NaNf)",
        "! others(a=true, b=false, c='x', d='\u{10ffff}', e='\\n')",
        "! nonzero(a=1u, b=-9223372036854775808i)",
    ];
    for (line, expected) in recorded.lines().iter().zip(expected) {
        // The escapes of unprintable characters are Debug's own.
        assert_eq!(line.replace("'\\u{10ffff}'", "'\u{10ffff}'"), expected);
    }
    assert_eq!(recorded.report.events, 6);
}

#[test]
fn texts_bytes_and_what_holds_them_keep_their_types() {
    let string = "owned".to_owned();
    let mut number = 3;
    let recorded = record(|| {
        instant!("texts", a = "literal", b = string, c = &&string, d = Cow::Borrowed("cow"));
        instant!("bytes", a = b"ab", b = [0_u8, 255].as_slice(), c = vec![b'"'; 2]);
        instant!("holders", a = Box::new(1_u8), b = Rc::new("rc"), c = Arc::<str>::from("arc"));
        instant!("options", a = Some(1_u8), b = None::<u8>, c = Some("x"), d = (), e = &mut number);
    });
    let expected = [
        r#"! texts(a="literal", b="owned", c="owned", d="cow")"#,
        r#"! bytes(a=b"ab", b=b"\x00\xff", c=b"\"\"")"#,
        r#"! holders(a=1u, b="rc", c="arc")"#,
        r#"! options(a=1u, b=none, c="x", d=none, e=3i)"#,
    ];
    assert_eq!(recorded.lines(), expected);
}

#[derive(Debug)]
struct Point {
    #[expect(dead_code, reason = "Debug reads it")]
    x: u8,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point")
    }
}

#[test]
fn others_are_printed_as_asked() {
    let point = Point { x: 1 };
    let list = [1, 2];
    let recorded = record(|| {
        instant!("printed", ?point, %point, a = ?list, b = %list.len(), c.d = ?Some("q"));
    });
    let expected = "! printed(point=`Point { x: 1 }`, point=`a point`, a=`[1, 2]`, b=`2`, \
                    c.d=`Some(\"q\")`)";
    assert_eq!(recorded.lines(), [expected]);
}

#[traced(args(n, ?point, %shown, double = n * 2, len = text.len()))]
fn function(n: u32, point: &Point, shown: &str, text: &str) {
    let _ = (n, point, shown, text);
}

#[test]
fn functions_and_regions_have_arguments() {
    let id = 7_u64;
    let recorded = record(|| {
        function(21, &Point { x: 2 }, "s", "four");
        let sum = trace_region!("expression", id, twice = id * 2 => id + 1);
        assert_eq!(sum, 8);
        trace_region!("scope", id, ok = true);
        instant!("inside");
    });
    let expected = [
        "+ function(n=21u, point=`Point { x: 2 }`, shown=`s`, double=42u, len=4u)",
        "-",
        "+ expression(id=7u, twice=14u)",
        "-",
        "+ scope(id=7u, ok=true)",
        "! inside",
        "-",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn text_of_any_length_is_cut_where_the_format_says() {
    let long = "x".repeat(1 << 20);
    let recorded = record(|| {
        instant!("exact", text = &long[..1024], bytes = long.as_bytes()[..1024]);
        instant!("over", text = &long[..1025], bytes = long.as_bytes()[..1026]);
        instant!("long", text = long, printed = ?long, shown = %long);
        log!("cut", "{long}");
        log!("cut", "{}", &long[..8192]);
        drop(Task::new(&long));
    });
    let x = |count| "x".repeat(count);
    let expected = [
        format!("! exact(text=\"{}\", bytes=b\"{}\")", x(1024), x(1024)),
        format!("! over(text=\"{}\" and 1 bytes, bytes=b\"{}\" and 2 bytes)", x(1024), x(1024)),
        format!(
            "! long(text=\"{}\" and 1047552 bytes, printed=`\"{} and 1047554 bytes`, \
             shown=`{} and 1047552 bytes`)",
            x(1024),
            x(1023),
            x(1024)
        ),
        format!("log cut: {} and 1040384 bytes", x(8192)),
        format!("log cut: {}", x(8192)),
        format!("task {}", x(256)),
        format!("task {} ends", x(256)),
    ];
    for (line, expected) in recorded.lines().iter().zip(&expected) {
        assert!(line == expected, "{:.60}... is not {:.60}...", line, expected);
    }
    assert_eq!(recorded.report.events, expected.len() as u64);
}

#[test]
fn a_cut_inside_a_character_does_no_harm() {
    let text = format!("{}ü", "x".repeat(1023));
    let recorded = record(|| instant!("cut", text, printed = %text));
    let expected =
        format!("! cut(text=\"{0}\u{fffd}\" and 1 bytes, printed=`{0}\u{fffd} and 1 bytes`)", {
            "x".repeat(1023)
        });
    assert_eq!(recorded.lines(), [expected]);
}

#[test]
fn a_list_of_many_long_values_ends_in_none() {
    let text = "x".repeat(2000);
    let t = text.as_str();
    #[rustfmt::skip]
    let recorded = record(|| {
        instant!("many", a = t, b = t, c = t, d = t, e = t, f = t, g = t, h = t, i = t, j = t,
                 k = t, l = t, m = t, n = t, o = t, p = t, q = t, r = t, s = 1_u8, t = t);
    });
    let line = recorded.lines().remove(0);
    assert_eq!(line.matches("and 976 bytes").count(), 16, "as many texts fit");
    assert!(line.ends_with("q=none, r=none, s=none, t=none)"), "{line}");
}

#[test]
fn control_characters_quotes_and_invalid_utf8_are_kept_as_they_are() {
    let odd = "\0\u{1b}[31m\"'\\\r\n\u{202e}\u{feff}";
    let recorded = record(|| {
        instant!("odd", text = odd, bytes = b"\xff\xfe\x00", printed = %odd);
        log!("odd \"category\"\n", "{odd}");
        counter!("odd\0counter", 1);
    });
    let expected = [
        format!("! odd(text={odd:?}, bytes=b\"\\xff\\xfe\\x00\", printed=`{odd}`)"),
        format!("log odd \"category\"\n: {odd}"),
        "counter odd\0counter = 1i".to_owned(),
    ];
    assert_eq!(recorded.lines(), expected);
}

/// Records while it is printed.
struct Traces;

impl fmt::Debug for Traces {
    #[traced(name = "Traces::fmt")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        instant!("printing");
        f.write_str("printed")
    }
}

#[traced(args(?it), ret)]
fn takes(it: Traces) -> Traces {
    it
}

#[test]
fn an_argument_that_traces_is_an_event_before() {
    let recorded = record(|| {
        trace_region!("outer");
        instant!("with", it = ?Traces);
        log!("net", "{Traces:?}");
        takes(Traces);
    });
    let printing = ["+ Traces::fmt", "! printing", "-"];
    let mut expected = vec!["+ outer"];
    for after in ["! with(it=`printed`)", "log net: printed", "+ takes(it=`printed`)"] {
        expected.extend(printing);
        expected.push(after);
    }
    expected.extend(printing);
    expected.extend(["- returned `printed`", "-"]);
    assert_eq!(recorded.lines(), expected);
}

/// Fails, or panics, while it is printed.
struct Broken(bool);

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half")?;
        if self.0 { panic!("on purpose") } else { Err(fmt::Error) }
    }
}

#[test]
fn an_argument_that_fails_leaves_what_it_printed() {
    let lines = record(|| instant!("broken", it = ?Broken(false))).lines();
    assert_eq!(lines, ["! broken(it=`half`)"]);
}

#[test]
fn an_argument_that_panics_is_the_users_panic_and_no_event() {
    let recorded = record(|| {
        trace_region!("outer");
        let panic = std::panic::catch_unwind(|| {
            trace_region!("with", it = ?Broken(true));
            instant!("not reached");
        });
        assert!(panic.is_err());
        instant!("after");
    });
    assert_eq!(recorded.lines(), ["+ outer", "! after", "-"]);
}

#[test]
fn arguments_are_evaluated_only_while_they_are_wanted() {
    let _alone = common::alone();
    let mut evaluated = 0;
    let mut count = || {
        evaluated += 1;
        1_u8
    };
    instant!("not running", n = count());
    trace_region!("not running", n = count() => ());
    log!("not running", "{}", count());
    assert_eq!(evaluated, 0);
}
