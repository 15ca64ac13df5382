//! FORMAT.md and the code can't disagree: its tables are read and compared with the numbers used.

use std::collections::BTreeSet;

use trace_format::call::CALLS;
use trace_format::definition::{
    ArgumentKind, CallsiteKind, Definition, FRAMES_MAX, FUNCTIONS_MAX, FoundBy, ResourceKind,
    StackFlags, kind, put_definition,
};
use trace_format::event::{EventKind, Events, Outcome, opcode};
use trace_format::header;
use trace_format::id::{CallId, Open, ResourceId, SiteId, StackId, ThreadId};
use trace_format::testgen::{everything, open_call};
use trace_format::text::to_text;
use trace_format::time::{ClockKind, Ticks};
use trace_format::value::{self, Value, Values, take_value};

const SPEC: &str = include_str!("../../FORMAT.md");

/// The cells of the table's rows in section `number`; header and ruler are left out.
fn table(number: u32) -> Vec<Vec<String>> {
    let heading = format!("\n## {number}. ");
    let section = SPEC.split_once(&heading).expect("the section is there").1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|it| it.trim().into()).collect();
    rows.map(cells).collect()
}

fn number(cell: &str) -> u8 {
    let hex = cell.strip_prefix("0x").map(|digits| u8::from_str_radix(digits, 16));
    hex.unwrap_or_else(|| cell.parse()).unwrap_or_else(|_| panic!("{cell} is no number"))
}

/// Bytes of the fields a row names, so that each is told from the others by its value.
fn encode_fields(fields: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields.split(", ").filter(|field| !field.is_empty()) {
        match field {
            "site" => out.push(11),
            "duration" | "since" => out.push(12),
            "future" => out.push(13),
            "task" => out.push(14),
            "parent" => out.push(15),
            "parent future" => out.push(31),
            "trace id" => out.extend([32; 16]),
            "span id" => out.extend([33; 8]),
            "parent span id" => out.extend([34; 8]),
            "open" => out.push(11 << 2),
            "call" => out.push(21),
            "resource" => out.push(22),
            "stack" => out.push(23),
            "result" => out.push(24),
            "sample" => out.push(25),
            "address" => out.push(26),
            "bytes" => out.push(27),
            "os thread" => out.push(28),
            "switch flags" => out.push(29),
            "records" => out.push(30),
            "outcome" => out.push(1),
            "events" => out.push(16),
            "ends" => out.push(17),
            "from" => out.push(18),
            "to" => out.push(19),
            "values" => out.extend([2, value::tag::U64, 20]),
            "value" => out.extend([value::tag::U64, 20]),
            "text" => out.extend([9, 3, b'a', b'b', b'c']),
            _ => panic!("{field} is no field"),
        }
    }
    out
}

#[test]
fn every_event_row_decodes_as_it_says() {
    let rows = table(5);
    let mut known = Vec::new();
    for row in rows.iter().filter(|row| !row[0].contains('-')) {
        let (code, fields) = (number(&row[0]), row[2].as_str());
        known.push(code);
        let payload = [vec![code, 7], encode_fields(fields)].concat();
        let mut events = Events::new(ThreadId(1), Ticks(100), &payload);
        let event = events.next().expect("an event").unwrap_or_else(|_| panic!("{row:?}"));
        assert!(events.next().is_none(), "{row:?} has more fields than the code takes");
        assert_eq!(event.ticks, Ticks(107), "{row:?}");
        let printed = format!("{:?}", event.kind);
        let name = row[1].split(' ').next().expect("a name");
        let variant = printed.split([' ', '{']).next().expect("a variant");
        assert_eq!(variant, name, "{row:?}");
        let complete = fields.contains("duration");
        assert_eq!(events.now(), Ticks(if complete { 119 } else { 107 }), "{row:?}");
        for (field, shown) in [
            ("site", "SiteId(11)"),
            ("duration", "duration: Ticks(12)"),
            ("since", "since: Ticks(12)"),
            ("future", "FutureId(13)"),
            ("task", "TaskId(14)"),
            ("parent", "TaskId(15)"),
            ("parent future", "parent: FutureId(31)"),
            ("trace id", "trace: 42702100946941297375796029167908167712"),
            ("span id", "span: 2387225703656530209"),
            ("parent span id", "parent: 2459565876494606882"),
            ("outcome", "Failed"),
            ("values", "[1, 20]"),
            ("value", "U64(20)"),
            ("text", "bytes_before: 9"),
            ("events", "events: 16"),
            ("ends", "ends: 17"),
            ("from", "from: Ticks(18)"),
            ("to", "to: Ticks(19)"),
            ("call", "CallId(21)"),
            ("resource", "ResourceId(22)"),
            ("stack", "StackId(23)"),
            ("result", "result: 12"),
            ("sample", "SampleId(25)"),
            ("address", "address: 26"),
            ("bytes", "bytes: 27"),
            ("os thread", "os_thread: 28"),
            ("switch flags", "preempted: true"),
            ("records", "records: 30"),
        ] {
            let named = fields.split(", ").any(|it| it == field);
            assert!(!named || printed.contains(shown), "{row:?}: {printed}");
        }
        for cut in 1..payload.len() {
            let mut events = Events::new(ThreadId(1), Ticks(100), &payload[..cut]);
            assert!(events.next().expect("something").is_err(), "{row:?} cut at {cut}");
        }
    }
    for code in 0..=u8::MAX {
        let ranged = code >= 0x80 || (0x30..=0x3f).contains(&code);
        let payload = [vec![code], vec![0; 40]].concat();
        let fault = Events::new(ThreadId(1), Ticks(0), &payload).next().expect("one").is_err();
        assert_eq!(!fault, ranged || known.contains(&code), "opcode {code:#04x}");
    }
}

#[test]
fn event_ranges_are_the_codes_own() {
    let rows = table(5);
    let ranges: Vec<&str> =
        rows.iter().map(|row| row[0].as_str()).filter(|cell| cell.contains('-')).collect();
    assert_eq!(ranges, ["0x30-0x3f", "0x80-0xbf", "0xc0-0xff"]);
    assert_eq!((opcode::EXTENSION, opcode::EXTENSION_LAST), (0x30, 0x3f));
    assert_eq!((opcode::REGION_SHORT, opcode::REGION_SHORT | opcode::OPEN), (0x80, 0xc0));
    let payload = [0xbf, 1, 2, 0xff, 1, 0x30, 1, 2, 9, 9];
    let kinds: Vec<_> = Events::new(ThreadId(1), Ticks(0), &payload)
        .map(|event| event.expect("an event").kind)
        .collect();
    let site = SiteId(opcode::SHORT_SITES);
    assert!(
        matches!(kinds[0], EventKind::Region { site: it, duration: Ticks(2), .. } if it == site)
    );
    assert!(matches!(kinds[1], EventKind::RegionBegin { site: it, .. } if it == site));
    assert_eq!(kinds[2], EventKind::Unknown { opcode: 0x30 });
}

#[test]
fn the_same_site_has_two_forms() {
    let short = Events::new(ThreadId(1), Ticks(0), &[0x80, 1, 2]).next();
    let long = Events::new(ThreadId(1), Ticks(0), &[0x01, 1, 1, 2]).next();
    assert_eq!(short, long);
}

#[test]
fn every_value_row_decodes_as_it_says() {
    let mut tags = Vec::new();
    for row in table(6) {
        for tag in row[0].split(", ").map(number) {
            tags.push(tag);
            let body: &[u8] = match row[2].as_str() {
                "" => &[],
                "varint" | "zigzag" => &[65],
                "8 bytes, IEEE 754 double" => &[0; 8],
                "varint, a Unicode scalar value" => &[65],
                "16 bytes" => &[0; 16],
                "`bytes`" => &[1, b'x'],
                "varint length before the cut, then `bytes`" => &[5, 1, b'x'],
                other => panic!("{other} is no body"),
            };
            let bytes = [&[tag], body].concat();
            if row[1] == "stack" {
                let values = Values::new(&bytes);
                assert_eq!(values.stack(), Some(StackId(65)), "{row:?}");
                assert!(values.is_empty() && values.is_whole(), "a stack is no argument");
                assert_eq!(take_value(&mut bytes.as_slice()), None, "nor a value");
                continue;
            }
            let mut rest = bytes.as_slice();
            let value = take_value(&mut rest).unwrap_or_else(|| panic!("{row:?}"));
            assert!(rest.is_empty(), "{row:?}");
            let mut again = Vec::new();
            value::put_value(&mut again, &value);
            assert_eq!(again, bytes, "{row:?}: {value:?}");
        }
    }
    for tag in 0..=u8::MAX {
        let bytes = [[tag, 1].as_slice(), &[0; 20]].concat();
        let known = take_value(&mut bytes.as_slice()).is_some();
        let listed = tags.contains(&tag) && tag != value::tag::STACK;
        assert_eq!(known, listed, "tag {tag:#04x}");
    }
    let mut zigzag: &[u8] = &[2, 65];
    assert_eq!(take_value(&mut zigzag), Some(Value::I64(-33)));
}

/// As the table has it.
fn name_of(definition: &Definition<'_>) -> String {
    format!("{definition:?}").split([' ', '(']).next().expect("a name").into()
}

/// What `act` makes of each definition of a trace that has every kind of them.
fn every_definition<T>(act: impl Fn(&Definition<'_>) -> T) -> Vec<T> {
    let bytes = everything(trace_format::batch::Compression::None);
    let mut reader = trace_format::read::BatchReader::new(bytes.as_slice()).expect("a trace");
    let mut made = Vec::new();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.expect("whole");
        if batch.header.kind == header::BatchKind::Definitions {
            made.extend(batch.definitions().map(|definition| act(&definition)));
        }
    }
    made
}

#[test]
fn every_definition_row_has_the_codes_number_and_name() {
    let rows = table(7);
    let mut seen = vec![String::new(); rows.len() + 1];
    for (first, kind, name) in every_definition(|definition| {
        let mut wire = Vec::new();
        put_definition(&mut wire, definition);
        (wire[0], definition.kind(), name_of(definition))
    }) {
        assert_eq!(first, kind, "{name}");
        seen[usize::from(kind)] = name;
    }
    for row in &rows {
        let (code, name) = (usize::from(number(&row[0])), &row[1]);
        assert_eq!(&seen[code], name, "{row:?}");
    }
    assert_eq!(rows.iter().map(|row| number(&row[0])).collect::<Vec<_>>(), kind::ALL);
    let callsite = &rows[usize::from(kind::CALLSITE) - 1][2];
    for kind in CallsiteKind::ALL {
        let text = format!("{} {}", kind.to_byte(), kind.name());
        assert!(callsite.contains(&text), "{text}");
    }
    for kind in [ArgumentKind::Typed, ArgumentKind::Debug, ArgumentKind::Display] {
        let name = format!("{kind:?}");
        let name = if kind == ArgumentKind::Typed { "typed" } else { &name };
        assert!(callsite.contains(&format!("{} {name}", kind.to_byte())), "{name}");
    }
    let resource = &rows[usize::from(kind::RESOURCE) - 1][2];
    for kind in ResourceKind::ALL {
        let text = format!("{} {}", kind.to_byte(), kind.name());
        assert!(resource.contains(&text), "{text}");
    }
    let stack = &rows[usize::from(kind::STACK) - 1][2];
    for (at, name) in ["frame pointers", "unwind tables", "the system's unwinder", "the kernel"]
        .into_iter()
        .enumerate()
    {
        assert!(stack.contains(&format!("{at} {name}")), "{name}");
        let flags = StackFlags { cut: false, by: FoundBy::ALL[at] };
        assert_eq!(flags.to_number(), (at << 1) as u64);
    }
    let process = &rows[usize::from(kind::PROCESS) - 1][2];
    for (clock, name) in ClockKind::ALL.into_iter().zip(["tsc", "cntvct_el0", "CLOCK_MONOTONIC"]) {
        assert!(process.contains(&format!("{} {name}", clock.to_byte())), "{name}");
    }
}

/// The words in backquotes between two places of section 12.
fn names_in_section_12(from: &str, to: &str) -> Vec<String> {
    let spec = SPEC.split_whitespace().collect::<Vec<_>>().join(" ");
    let section = spec.split_once("## 12. ").expect("the section is there").1;
    let list = section.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    let list = list.split_once(to).unwrap_or_else(|| panic!("no {to}")).0;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn definitions_last_as_long_as_section_12_says() {
    let lasting = names_in_section_12("have what holds for long:", ", and all kinds");
    let moments = names_in_section_12("and definitions of a moment (", ")");
    let found = every_definition(|definition| (name_of(definition), definition.is_of_moment()));
    for (name, is_of_moment) in found {
        assert_eq!(
            (moments.contains(&name), lasting.contains(&name)),
            (is_of_moment, !is_of_moment),
            "{name}"
        );
    }
    assert_eq!(lasting.len() + moments.len(), kind::ALL.len());
}

#[test]
fn every_definition_has_its_line_in_section_9() {
    let section = SPEC.split_once("\n## 9. ").expect("the section is there").1;
    let lines = section.split_once("The definitions:\n\n```text\n").expect("they are there").1;
    let lines = lines.split_once("```").expect("they end").0.lines();
    let first_word = |line: &str| line.split(' ').next().map(str::to_owned);
    let listed: BTreeSet<_> =
        lines.filter(|line| !line.starts_with(' ')).filter_map(first_word).collect();
    let text = to_text(&everything(trace_format::batch::Compression::None));
    let mut is_definition = false;
    let mut written = BTreeSet::new();
    for line in text.lines() {
        match line.strip_prefix("  ") {
            Some(words) if is_definition => written.extend(first_word(words)),
            Some(_) => {}
            None => is_definition = line.starts_with("batch definitions"),
        }
    }
    assert_eq!(written, listed);
    assert_eq!(listed.len(), kind::ALL.len());
}

#[test]
fn numbers_in_the_prose_are_the_codes_own() {
    // Wherever its lines are broken.
    let spec = SPEC.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |text: &str| assert!(spec.contains(text), "FORMAT.md does not say: {text}");
    let bytes = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("magic `{}`", hex.join(" "))
    };
    says(&bytes(&header::FILE_MAGIC));
    says(&bytes(&header::BATCH_MAGIC));
    says("magic `XTRINDEX`");
    assert_eq!(&header::TRAILER_MAGIC, b"XTRINDEX");
    says(&format!(
        "# The exectrace trace format, version {}.{}",
        header::VERSION_MAJOR,
        header::VERSION_MINOR
    ));
    says(&format!("## 2. File header, {} bytes", header::FILE_HEADER_BYTES));
    says(&format!("the file's last {} bytes", header::TRAILER_BYTES));
    let (least, most) = (header::BATCH_HEADER_BYTES, header::BATCH_HEADER_BYTES_MAX);
    says(&format!("from the start of the batch to its payload; {least} to {most}"));
    assert_eq!(header::PAYLOAD_BYTES_MAX, 1 << 20);
    says("at most 1 MiB");
    assert_eq!((value::TEXT_BYTES_MAX, value::LOG_BYTES_MAX), (1_024, 8_192));
    says("Writers cut texts and bytes at 1,024 bytes, log messages at 8,192");
    says("0 returned, 1 failed, 2 dropped, 3 panicked, 4 ended");
    assert_eq!(Outcome::ALL.map(Outcome::to_byte), [0, 1, 2, 3, 4]);
    says("kind 0 a region (the id is its site), 1 a poll (future), 2 a task run (task), 3 a call");
    assert_eq!(Open::Region(SiteId(5)).to_word(), 5 << 2);
    says("the call in bits 0 to 7, the stack in bits 8 to 31, the resource in bits 32 to 61");
    let call = open_call(CallId(5), 7, 6);
    assert_eq!(Open::Call(call).to_word(), (5 | 6 << 8 | 7 << 32) << 2 | 3);
    assert_eq!(
        (StackId::MAX, ResourceId::MAX),
        (StackId((1 << 24) - 1), ResourceId((1 << 30) - 1))
    );
    says(&format!("Thread ids from {:#x} on are CPUs", ThreadId::CPU_FIRST));
    assert_eq!(trace_format::read::NESTING_MAX, 65_536);
    says("keeps at most 65,536 open things of a thread");
    assert_eq!((FRAMES_MAX, FUNCTIONS_MAX), (1_024, 256));
    says("readers may keep 1,024 addresses of a stack,");
    says("and 256 functions of a `Symbol`");
}

/// A formula that is broken over lines, or joined with the next one, can't be read.
#[test]
fn formulas_have_lines_of_their_own() {
    let lines: Vec<_> = SPEC.lines().map(str::trim_end).collect();
    for formula in [
        "slope = floor((nanos behind - nanos before) * 2^48 / (ticks behind - ticks before))",
        "nanos = s.nanos - first.nanos + floor((ticks - s.ticks) * slope / 2^48)",
        "nanos = -floor((first.ticks - ticks) * slope / 2^48)",
    ] {
        assert!(lines.contains(&formula), "FORMAT.md has no such line: {formula}");
    }
}

#[test]
fn the_calls_table_is_the_codes_own() {
    let rows = table(10);
    assert_eq!(rows.len(), CALLS.len());
    for (row, info) in rows.iter().zip(CALLS) {
        let (class, what) = (format!("{:?}", info.class), format!("{:?}", info.resource));
        assert_eq!(row[..], [info.id.0.to_string(), info.name.into(), class, what]);
    }
}

#[test]
fn headers_lie_at_the_tables_places() {
    let header = header::BatchHeader {
        kind: header::BatchKind::Events,
        codec: 2,
        header_bytes: 0x0403,
        stored_bytes: 5,
        payload_bytes: 6,
        thread: ThreadId(7),
        sequence: 8,
        offset: 9,
        generation: 10,
        base_ticks: Ticks(11),
        last_ticks: Ticks(12),
        events: 13,
        flags: 14,
    };
    let bytes = header.encode(&[]);
    let rows = table(3);
    let at = |name: &str| {
        let row = rows.iter().find(|row| row[2].starts_with(name));
        row.unwrap_or_else(|| panic!("no {name}"))[0].parse::<usize>().expect("a place")
    };
    let fields = [
        ("kind", 1),
        ("codec", 2),
        ("header bytes", 3),
        ("stored bytes", 5),
        ("payload bytes", 6),
        ("thread", 7),
        ("sequence", 8),
        ("offset", 9),
        ("generation", 10),
        ("base ticks", 11),
        ("last ticks", 12),
        ("events", 13),
        ("flags", 14),
    ];
    for (name, value) in fields {
        assert_eq!(bytes[at(name)], value, "{name}");
    }
    assert_eq!(at("CRC"), 60);
    // Each field ends where the next begins.
    let size = |cell: &str| match cell {
        "u8" => 1,
        "u16" => 2,
        "u32" => 4,
        "u64" => 8,
        bytes => bytes.parse().expect("a size"),
    };
    for number in [2, 3, 8] {
        let mut end = 0;
        for row in table(number) {
            assert_eq!(row[0].parse::<usize>().expect("a place"), end, "section {number}: {row:?}");
            end += size(&row[1]);
        }
        assert_eq!(end, if number == 3 { 64 } else { 32 });
    }
}

#[test]
fn every_definition_kind_is_decoded() {
    // A body of zeros is long enough for every kind; an unknown kind is skipped, not refused.
    for code in 0..=u8::MAX {
        let wire = [vec![code, 30], vec![0; 30]].concat();
        let mut definitions = trace_format::definition::Definitions::new(&wire);
        let definition = definitions.next().expect("a definition");
        let known = kind::ALL.contains(&code);
        assert_eq!(!matches!(definition, Definition::Unknown { .. }), known, "kind {code}");
        assert_eq!(definitions.rest(), 0);
    }
}
