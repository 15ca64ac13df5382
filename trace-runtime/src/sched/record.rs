//! Decodes a ring's bytes into records: perf_event_open(2), "MMAP layout". Bytes that are no record
//! are skipped; the kernel writes none.

use perf_event_open_sys::bindings as kernel;

/// Bytes of a record's header: type, flags, length.
const HEADER_BYTES: usize = 8;

/// Bytes at the end of every record except samples: process, thread, time.
const TRAILER_BYTES: usize = 16;

/// One record of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'r> {
    /// The system's id of the process.
    pub(super) process: u32,
    /// The system's id of the thread.
    pub(super) thread: u32,
    /// Nanoseconds on the kernel's clock.
    pub(super) time: u64,
    pub(super) what: RecordKind<'r>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind<'r> {
    /// The thread begins to run.
    SwitchIn,
    /// The thread stops running.
    SwitchOut {
        /// It could have gone on running.
        preempted: bool,
    },
    /// The thread ends. It then has no `SwitchOut`.
    Exit,
    /// Number of records before this one that did not fit.
    Lost(u64),
    /// A sample of the running thread.
    Sample(CallChain<'r>),
    /// The thread has touched a page that is not in memory.
    Fault {
        /// The address that it touched.
        address: u64,
        /// The stack.
        chain: CallChain<'r>,
    },
}

/// A stack that the kernel has walked: addresses of eight bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallChain<'r>(&'r [u8]);

impl CallChain<'_> {
    /// Writes the addresses of the program's own instructions to `out`, innermost first. Returns
    /// them, and whether there were more.
    pub(super) fn frames<'o>(&self, out: &'o mut [u64]) -> (&'o [u64], bool) {
        let mut count = 0;
        for word in self.0.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)) {
            // A mark says whether the kernel's or the user's addresses follow; only the latter were
            // asked for. Zero ends a chain of frame pointers that leads nowhere.
            if word >= kernel::PERF_CONTEXT_MAX || word == 0 {
                continue;
            }
            let Some(slot) = out.get_mut(count) else { return (out, true) };
            // All but the innermost are return addresses.
            *slot = if count == 0 { word } else { word - 1 };
            count += 1;
        }
        (&out[..count], false)
    }
}

/// The records in `bytes`, in order.
#[derive(Debug)]
pub(super) struct Records<'r>(pub(super) &'r [u8]);

impl<'r> Iterator for Records<'r> {
    type Item = Record<'r>;

    fn next(&mut self) -> Option<Record<'r>> {
        loop {
            let header = self.0.first_chunk::<HEADER_BYTES>()?;
            let length = usize::from(u16::from_le_bytes([header[6], header[7]]));
            let (whole, rest) = self.0.split_at_checked(length.max(HEADER_BYTES))?;
            self.0 = rest;
            let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            let flags = u32::from(u16::from_le_bytes([header[4], header[5]]));
            if let Some(record) = record(kind, flags, &whole[HEADER_BYTES..]) {
                return Some(record);
            }
        }
    }
}

/// The record, if it is of a kind that is used here.
fn record(kind: u32, flags: u32, body: &[u8]) -> Option<Record<'_>> {
    let what = match kind {
        kernel::PERF_RECORD_SAMPLE => return sample(body),
        kernel::PERF_RECORD_SWITCH if flags & kernel::PERF_RECORD_MISC_SWITCH_OUT == 0 => {
            RecordKind::SwitchIn
        }
        kernel::PERF_RECORD_SWITCH => {
            let preempted = flags & kernel::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT != 0;
            RecordKind::SwitchOut { preempted }
        }
        kernel::PERF_RECORD_EXIT => RecordKind::Exit,
        // Id, count.
        kernel::PERF_RECORD_LOST => RecordKind::Lost(word(body, 8)?),
        _ => return None,
    };
    let trailer = body.len().checked_sub(TRAILER_BYTES)?;
    let (process, thread) = (half(body, trailer)?, half(body, trailer + 4)?);
    Some(Record { process, thread, time: word(body, trailer + 8)?, what })
}

/// A sample or a fault. Its fields: process, thread, time, address, period, count of the chain,
/// chain.
fn sample(body: &[u8]) -> Option<Record<'_>> {
    let (process, thread, time) = (half(body, 0)?, half(body, 4)?, word(body, 8)?);
    let (address, period) = (word(body, 16)?, word(body, 24)?);
    let chain_bytes = usize::try_from(word(body, 32)?).ok()?.checked_mul(8)?;
    let chain = CallChain(body.get(40..)?.get(..chain_bytes)?);
    // Each fault has a record, so its period is 1; a sample's period is a number of nanoseconds
    // above 1.
    let what =
        if period == 1 { RecordKind::Fault { address, chain } } else { RecordKind::Sample(chain) };
    Some(Record { process, thread, time, what })
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(out: &mut Vec<u8>, kind: u32, flags: u32, words: &[u64]) {
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(flags as u16).to_le_bytes());
        out.extend_from_slice(&(8 + 8 * words.len() as u16).to_le_bytes());
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// A record with the trailer of the test's records: process 7, thread 9.
    const IDS: u64 = 9 << 32 | 7;

    fn of(time: u64, what: RecordKind<'_>) -> Record<'_> {
        Record { process: 7, thread: 9, time, what }
    }

    #[test]
    fn every_kind_that_matters_is_read_and_others_are_passed_over() {
        let mut bytes = Vec::new();
        put(&mut bytes, kernel::PERF_RECORD_SWITCH, 0, &[IDS, 100]);
        put(&mut bytes, kernel::PERF_RECORD_FORK, 0, &[1, 2, 3, IDS, 101]);
        put(&mut bytes, kernel::PERF_RECORD_SWITCH, 1 << 13, &[IDS, 102]);
        put(&mut bytes, kernel::PERF_RECORD_SWITCH, 1 << 13 | 1 << 14, &[IDS, 103]);
        put(&mut bytes, kernel::PERF_RECORD_LOST, 0, &[1, 55, IDS, 104]);
        put(&mut bytes, kernel::PERF_RECORD_EXIT, 0, &[IDS, IDS, 105, IDS, 105]);
        let found: Vec<_> = Records(&bytes).collect();
        let out = |preempted| RecordKind::SwitchOut { preempted };
        let expected = [
            of(100, RecordKind::SwitchIn),
            of(102, out(false)),
            of(103, out(true)),
            of(104, RecordKind::Lost(55)),
            of(105, RecordKind::Exit),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn samples_and_faults_differ_by_their_period_and_have_user_frames_only() {
        let mut bytes = Vec::new();
        let user = kernel::PERF_CONTEXT_USER;
        put(&mut bytes, kernel::PERF_RECORD_SAMPLE, 2, &[IDS, 1, 0, 1000, 3, user, 50, 61]);
        put(&mut bytes, kernel::PERF_RECORD_SAMPLE, 2, &[IDS, 2, 0xabc, 1, 4, user, 70, 81, 0]);
        let mut room = [0; 4];
        let found: Vec<_> = Records(&bytes).collect();
        let RecordKind::Sample(chain) = found[0].what else { panic!("{found:?}") };
        assert_eq!(chain.frames(&mut room), ([50, 60].as_slice(), false));
        let RecordKind::Fault { address: 0xabc, chain } = found[1].what else {
            panic!("{found:?}")
        };
        assert_eq!(chain.frames(&mut room), ([70, 80].as_slice(), false));
        assert_eq!(chain.frames(&mut room[..1]), ([70].as_slice(), true));
    }

    #[test]
    fn any_cut_of_a_record_is_none() {
        let mut bytes = Vec::new();
        put(&mut bytes, kernel::PERF_RECORD_SAMPLE, 2, &[IDS, 1, 0, 1000, 3, 40, 50, 61]);
        for cut in 0..bytes.len() {
            assert_eq!(Records(&bytes[..cut]).next(), None);
            // A length that is less than the record's kind needs, or more than there is.
            let mut lying = bytes.clone();
            lying[6..8].copy_from_slice(&(cut as u16).to_le_bytes());
            assert_eq!(Records(&lying).count(), 0);
        }
        bytes[8 + 32] = 200;
        assert_eq!(Records(&bytes).next(), None, "a chain that is longer than its record");
    }
}
