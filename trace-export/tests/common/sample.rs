//! A profile made by hand, and a decoder of pprof's.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;
use trace_analysis::symbols::{Function, Symbols};
use trace_export::profile::{Kind, Profile, Row, message};
use trace_format::read::Module;
use trace_format::time::Nanos;

const COUNT: Kind = Kind { name: "contentions", unit: "count" };
const KINDS: [Kind; 2] = [COUNT, Kind { name: "delay", unit: "nanoseconds" }];

/// `main` calls `work`, into which `lock` was inlined; the recorder is innermost.
const LOCKED: [u64; 4] = [0x1010, 0x1020, 0x1030, 0x2040];
const PARKED: [u64; 2] = [0x1030, 0x2040];
const UNKNOWN: [u64; 2] = [0x2050, 0x9000];

pub(crate) fn symbols() -> Symbols {
    let mut symbols = Symbols::default();
    for module in modules().into_values() {
        symbols.add_module(module);
    }
    let function = |name: &str, line| {
        let (name, file) = (name.to_owned(), "src/app.rs".to_owned());
        Function { name, file, line }
    };
    symbols.add(0x1010, vec![function("trace_runtime::os::wait", 1)]);
    symbols.add(0x1020, vec![function("syscall", 2)]);
    let inlined = [("std::sync::Mutex<T>::lock", 3), ("app::lock", 4), ("app::work<[u8; 4]>", 5)];
    symbols.add(0x1030, inlined.map(|(name, line)| function(name, line)).to_vec());
    symbols.add(0x2040, vec![function("app::main", 6)]);
    symbols
}

pub(crate) fn modules() -> BTreeMap<u64, Module> {
    let module = |first: u64, path: &str| {
        let (path, build_id) = (path.to_owned(), vec![0xab, first as u8]);
        (first, Module { first, last: first + 0x1000, bias: first, build_id, path })
    };
    BTreeMap::from([module(0x1000, "/usr/bin/app"), module(0x2000, "/usr/lib/libapp.so")])
}

pub(crate) fn profile() -> Profile<'static> {
    let row = |addresses: &'static [u64], thread: &str, count, nanos| {
        let (thread, values) = (thread.to_owned(), [count, nanos, 0, 0]);
        Row { addresses, is_kernel: false, thread, values }
    };
    Profile {
        title: "app: waiting".to_owned(),
        kinds: &KINDS,
        shown: 1,
        period: (COUNT, 1),
        wall: Nanos(1_700_000_000_000_000_000),
        length: Nanos(5_000_000_000),
        rows: vec![
            row(&LOCKED, "worker", 3, 3_000_000),
            row(&PARKED, "worker", 1, 1_000_000),
            row(&PARKED, "main", 2, 2_000_000),
            row(&UNKNOWN, "main", 1, 500_000),
            row(&[], "main", 1, 7),
        ],
    }
}

pub(crate) fn decode(gzipped: &[u8]) -> message::Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(gzipped).read_to_end(&mut bytes).expect("gzip");
    message::Profile::decode(bytes.as_slice()).expect("protobuf")
}

pub(crate) fn text(profile: &message::Profile, at: i64) -> &str {
    &profile.string_table[usize::try_from(at).expect("a place")]
}
