//! Reading takes memory for batches, not for files, and none for events.
//!
//! One test, alone in its process: the counting allocator is everybody's.

use std::ops::ControlFlow;

use trace_format::batch::Compression;
use trace_format::header::FileHeader;
use trace_format::read::{BatchBuffer, BatchReader, TraceFile, Window};
use trace_format::testgen::tight_loops;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Blocks allocated, and the most bytes at once, by `work` alone.
fn measure(work: impl FnOnce()) -> (u64, usize) {
    let _profiler = dhat::Profiler::builder().testing().build();
    work();
    let stats = dhat::HeapStats::get();
    (stats.total_blocks, stats.max_bytes)
}

fn stream(bytes: &[u8]) {
    let mut reader = BatchReader::new(bytes).expect("a trace");
    while let Some(batch) = reader.next_batch() {
        batch.expect("whole").events().walk(|_| ()).unwrap_or_default();
    }
}

#[test]
fn memory_is_bounded_by_batches_and_nothing_is_allocated_per_event() {
    let threads = 4;
    let (short, long) = (
        tight_loops(threads, 50_000, Compression::Lz4),
        tight_loops(threads, 400_000, Compression::Lz4),
    );
    let of_short = measure(|| stream(&short));
    let of_long = measure(|| stream(&long));
    assert_eq!(of_short, of_long, "streaming does not depend on the length");
    assert!(of_long.1 < 512 << 10, "a window and a payload, not {} bytes", of_long.1);

    let file = TraceFile::open(long.as_slice()).expect("a trace");
    let batches = file.index().len() as u64;
    let (blocks, bytes_max) = measure(|| {
        let mut events = 0;
        let flow = file.in_order(Window::default()).for_each(|_| {
            events += 1;
            ControlFlow::Continue(())
        });
        assert!(flow.expect("whole").is_continue() && events == 4 * 400_000);
    });
    assert!(blocks < 100, "{blocks} allocations for {batches} batches");
    let per_thread = 2 * 64 * 1024 + 16 * batches as usize;
    assert!(bytes_max < threads as usize * per_thread, "{bytes_max} bytes at once");

    let mut buffer = BatchBuffer::default();
    let load = |buffer: &mut BatchBuffer| {
        let entries = file.index().iter();
        entries.map(|entry| file.load(entry, buffer).expect("whole").payload.len()).sum::<usize>()
    };
    load(&mut buffer);
    let (blocks, _) = measure(|| assert!(load(&mut buffer) > 0));
    assert_eq!(blocks, 0, "a used buffer is enough for every batch");

    // A lying length buys the memory of one batch and no more.
    let mut bytes = FileHeader::CURRENT.encode().to_vec();
    bytes.extend_from_slice(b"XTB\xf1\x01\x01\x40\x00\xff\xff\x0f\x00\xff\xff\x0f\x00");
    bytes.resize(4096, 0);
    let (_, bytes_max) = measure(|| {
        let mut reader = BatchReader::new(bytes.as_slice()).expect("a header");
        assert!(reader.next_batch().expect("a fault").is_err());
    });
    assert!(bytes_max < 3 << 20, "{bytes_max} bytes for a file of 4 KiB");
}
