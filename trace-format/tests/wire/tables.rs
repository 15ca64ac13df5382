//! What readers keep of definitions, and what of those that contradict each other.

use std::fs;
use std::path::Path;

use trace_format::batch::Compression;
use trace_format::definition::{
    Definition, Definitions, FRAMES_MAX, FUNCTIONS_MAX, FoundBy, ResourceKind, StackFlags, kind,
};
use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::read::{Counted, Tables, TraceFile};
use trace_format::testgen::everything;
use trace_format::text::from_text;
use trace_format::time::Ticks;
use trace_format::varint::{put_varint, zigzag};

fn golden(name: &str) -> Tables {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name);
    let bytes = from_text(&fs::read_to_string(path).expect("checked in")).expect("a trace");
    TraceFile::open(bytes.as_slice()).expect("a trace").tables().clone()
}

/// The one definition of this kind with this body.
fn decode(kind: u8, body: &[u8]) -> Option<Definition<'_>> {
    let mut wire = vec![kind];
    put_varint(&mut wire, body.len() as u64);
    wire.extend_from_slice(body);
    // Tests end before the leak matters.
    Definitions::new(wire.leak()).next()
}

#[test]
fn threads_know_who_made_them_and_every_name_they_had() {
    let tables = golden("calls.txt");
    let worker = &tables.threads[&ThreadId(2)];
    assert_eq!((worker.parent, worker.stack, worker.entry), (ThreadId(1), StackId(2), 0x0500_0200));
    assert_eq!(worker.name, "worker-of-main");
    let names = [0, 150, 159, 160, u64::MAX].map(|at| worker.name_at(Ticks(at)));
    assert_eq!(names, ["worker", "worker", "worker", "worker-of-main", "worker-of-main"]);
    let main = &tables.threads[&ThreadId(1)];
    assert_eq!((main.parent, main.stack, main.entry), (ThreadId(0), StackId(0), 0));
    assert_eq!(tables.thread_name(ThreadId::cpu(3)), "cpu 3");
    assert_eq!(tables.thread_name(ThreadId(77)), "thread 77");
}

#[test]
fn of_odd_definitions_what_can_be_kept_is_kept() {
    let tables = golden("definitions-odd.txt");
    let of = |id| &tables.threads[&ThreadId(id)];
    assert_eq!((of(1).parent, of(1).stack, of(1).entry), (ThreadId(0x69), StackId(0), 0));
    assert_eq!((of(2).parent, of(2).stack, of(2).entry), (ThreadId(1), StackId(2), 3));
    // Defined anew, with fields of a newer version: the latter counts.
    assert_eq!((of(3).parent, of(3).entry, of(3).first), (ThreadId(2), 4, Ticks(8)));
    let names: Vec<(u64, &str)> =
        of(3).names.iter().map(|(since, name)| (since.0, name.as_str())).collect();
    assert_eq!(names, [(5, "c"), (100, "late")]);
    assert_eq!((of(9).os_id, of(9).name.as_str()), (0, "nobody"));
    let stack = &tables.stacks[&StackId(1)];
    assert_eq!((&stack.addresses[..], stack.flags.by), (&[0x10][..], FoundBy::FramePointers));
    let paths = [0xfff, 0x1000, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x5000, 0x8fff, 0x9000]
        .map(|address| tables.module_at(address).map_or("-", |module| &module.path));
    let expected = ["-", "around", "around", "inside", "inside", "around", "around", "around", "-"];
    assert_eq!(paths, expected);
    let os = &tables.facilities["os"];
    assert_eq!((os.on, os.note.as_str()), (false, "removed"));
    assert_eq!(tables.unknown, 1);
}

#[test]
fn stacks_resources_symbols_and_the_heap_are_kept() {
    let tables = golden("stacks.txt");
    let addresses: Vec<&[u64]> = tables.stacks.values().map(|it| &it.addresses[..]).collect();
    let far = [u64::MAX, 0, 1 << 63];
    let first = [0x0500_0100, 0x0500_0080, 0x7f00_0000_0010, 0x0500_0080];
    assert_eq!(addresses, [&first[..], &[0x0500_0100], &[], &far]);
    let flags = StackFlags { cut: true, by: FoundBy::UnwindTables };
    assert_eq!(tables.stacks[&StackId(2)].flags, flags);
    let names: Vec<&str> = tables.symbols[&0x0500_0100].iter().map(|it| &it.name[..]).collect();
    assert_eq!(names, ["golden::digit", "golden::number"]);
    let module = tables.module_at(0x0500_0100).expect("there");
    assert_eq!((module.in_file(0x0500_0100), module.build_id.len()), (0x1100, 8));
    let vdso = tables.module_at(0x7f00_0000_0010).expect("there");
    assert_eq!(vdso.in_file(0x7f00_0000_0010), 0x7f00_0000_0011, "modulo 2^64");

    let tables = golden("resources.txt");
    assert_eq!(tables.resources.len(), ResourceKind::ALL.len() + 1);
    let file = &tables.resources[&ResourceId(2)];
    assert_eq!((file.kind, &file.name[..]), (ResourceKind::File, "/tmp/data"));
    assert_eq!(tables.resources[&ResourceId(12)].kind, ResourceKind::Descriptor);

    let tables = golden("heap.txt");
    assert_eq!(tables.heap.iter().map(|it| it.live_allocations).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(tables.heap[1].live_bytes, u64::MAX);
}

#[test]
fn of_a_threads_times_the_first_and_the_last_are_kept() {
    let tables = golden("thread-times.txt");
    let pair = |kept: Option<(Counted, Counted)>| {
        kept.map(|(first, last)| [first, last].map(|it| (it.ticks.0, it.nanos.0)))
    };
    let main = tables.thread_times[&ThreadId(1)];
    assert_eq!(pair(main.cpu), Some([(0, 5000), (2900, 5900)]));
    assert_eq!(pair(main.ready), Some([(0, 300), (2900, 450)]));
    let worker = tables.thread_times[&ThreadId(2)];
    assert_eq!(pair(worker.cpu), Some([(100, 70), (3000, u64::MAX)]));
    assert_eq!(pair(worker.ready), Some([(2900, 20), (2900, 20)]), "unknown is not 0");
    assert_eq!(pair(tables.thread_times[&ThreadId(77)].ready), None);
    assert!(!tables.threads.contains_key(&ThreadId(77)), "a time makes no thread");
    assert_eq!(tables.unknown, 0);
}

#[test]
fn no_definition_of_this_version_counts_as_unknown() {
    let bytes = everything(Compression::None);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    assert_eq!(file.tables().unknown, 0);
}

#[test]
fn a_stack_keeps_no_more_addresses_than_its_limit() {
    let body = |claimed: u64, count: usize| {
        let mut body = vec![7, 0];
        put_varint(&mut body, claimed);
        put_varint(&mut body, 0x5000);
        (1..count).for_each(|_| put_varint(&mut body, zigzag(-1)));
        body
    };
    let kept = |body: &[u8]| match decode(kind::STACK, body) {
        Some(Definition::Stack { flags, addresses, .. }) => Some((flags.cut, addresses.len())),
        _ => None,
    };
    assert_eq!(kept(&body(1024, FRAMES_MAX)), Some((false, FRAMES_MAX)));
    assert_eq!(kept(&body(1025, FRAMES_MAX + 1)), Some((true, FRAMES_MAX)));
    assert_eq!(
        kept(&body(u64::MAX, FRAMES_MAX)),
        Some((true, FRAMES_MAX)),
        "nobody counts further"
    );
    assert_eq!(kept(&body(3, 2)), None, "addresses are missing");
    assert_eq!(kept(&[0x80, 0x80, 0x80, 8, 0, 0]), None, "an id of 25 bits");
    assert_eq!(kept(&[7, 0xfe, 0]), None, "the count is missing");
    assert_eq!(kept(&[7, 0xfe, 0x01, 0]), Some((false, 0)), "unknown flags are ignored");
}

#[test]
fn a_symbol_keeps_no_more_functions_than_its_limit() {
    for (count, kept) in [(3, 3), (FUNCTIONS_MAX, FUNCTIONS_MAX), (1000, FUNCTIONS_MAX)] {
        let mut body = vec![9];
        put_varint(&mut body, count as u64);
        (0..count).for_each(|_| body.extend([1, b'f', 0, 3]));
        let Some(Definition::Symbol { functions, .. }) = decode(kind::SYMBOL, &body) else {
            panic!("{count} functions are a definition");
        };
        assert_eq!(functions.len(), kept);
    }
    assert_eq!(decode(kind::SYMBOL, &[9, 0xff, 0xff, 0x03, 1, b'f', 0, 3]), None);
}

#[test]
fn many_modules_at_one_place_cost_no_search() {
    let mut tables = Tables::default();
    for at in 0..200_000 {
        let (first, last) = (at, if at == 0 { u64::MAX } else { at });
        let module = Definition::Module { first, last, bias: 0, build_id: b"", path: b"" };
        tables.apply(&module);
    }
    // Only the outermost has the address, and it is too far off to be looked for.
    assert_eq!((0..100_000).filter_map(|_| tables.module_at(1 << 40)).count(), 0);
    assert_eq!(tables.module_at(10).map(|module| module.last), Some(u64::MAX));
}

#[test]
fn all_stacks_together_keep_no_more_addresses_than_their_limit() {
    let (mut tables, limit) = (Tables::default(), 1_usize << 24);
    let addresses = vec![0x5000; FRAMES_MAX];
    let count = (limit / FRAMES_MAX) as u32;
    for id in 1..=count + 5 {
        let (id, flags, addresses) = (StackId(id), StackFlags::default(), addresses.clone());
        tables.apply(&Definition::Stack { id, flags, addresses });
    }
    let last = &tables.stacks[&StackId(count)];
    assert_eq!((last.addresses.len(), last.flags.cut), (FRAMES_MAX, false));
    let beyond = &tables.stacks[&StackId(count + 1)];
    assert_eq!((beyond.addresses.len(), beyond.flags.cut), (0, true));
    assert_eq!(tables.stacks.values().map(|it| it.addresses.len()).sum::<usize>(), limit);
}
