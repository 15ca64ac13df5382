//! The packets of one sequence, encoded one after another into a small buffer.
//!
//! All packets share one sequence, so that names are interned once for all threads. The first
//! packet has defaults, so that others need not repeat them: the clock, and the track of the first
//! thread. Times are differences to the packet before, on a clock of the sequence's own. A packet
//! that is earlier than the one before names the monotonic clock and has an absolute time.
//!
//! Most packets differ from an earlier one only in their time. Those are encoded once and copied:
//! measured, this saves half of the export's time.
//!
//! Elsewhere: what is in an event (`encode`), what ids mean (`intern`).

use std::fmt;
use std::io::{self, Write};

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use trace_format::id::SiteId;
use trace_format::time::ClockSnapshot as Moment;

use super::message::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_SEQUENCE, COUNTER_CPU_CLOCK, Clock, ClockSnapshot,
    EventType, InternedData, PerfSampleDefaults, SEQUENCE_CLEARED, SEQUENCE_NEEDED, Timebase,
    TracePacket, TracePacketDefaults, TrackDescriptor, TrackEvent, TrackEventDefaults,
};

/// The tag of `Trace.packet`: field 1, length-delimited.
const PACKET_TAG: u8 = 1 << 3 | 2;
/// The sequence's id; any number but 0.
const SEQUENCE: u32 = 1;
/// Size at which the buffer is written out. One packet has a few dozen KiB at most.
const BUFFER_BYTES: usize = 256 * 1024;
/// The tag of `TracePacket.timestamp`: field 8, a varint.
const TIMESTAMP_TAG: u8 = 8 << 3;
/// Number of slots for packets that are kept encoded; a power of two.
const ALIKE_MAX: usize = 1 << 10;
/// Maximum size of a packet that is kept, so that its length takes one byte.
const ALIKE_BYTES_MAX: usize = 100;

/// What packets that differ only in their time have in common: the track, and for a begin the call
/// site.
pub(super) type Alike = (u64, Option<SiteId>);

/// A packet without its time.
#[derive(Clone, Debug, Default)]
struct Kept {
    alike: Option<Alike>,
    body: Vec<u8>,
}

/// Writes packets.
pub(super) struct Packets<'w> {
    out: &'w mut dyn Write,
    buffer: Vec<u8>,
    /// The packet of the next event; the memory of its lists is used again.
    packet: TracePacket,
    /// The time of the last packet, in nanoseconds on the monotonic clock.
    last: u64,
    default_track: u64,
    kept: Vec<Kept>,
    written: u64,
    packets: u64,
}

impl fmt::Debug for Packets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packets").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl<'w> Packets<'w> {
    /// Begins a file at the moment `origin`. Events that name no track are on `default_track`.
    pub(super) fn begin(
        out: &'w mut dyn Write,
        origin: Moment,
        default_track: u64,
    ) -> io::Result<Self> {
        let packet = TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: Some(SEQUENCE_NEEDED),
            track_event: Some(TrackEvent::default()),
            ..TracePacket::default()
        };
        let buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        let last = origin.monotonic.0;
        let kept = vec![Kept::default(); ALIKE_MAX];
        let (written, sent) = (0, 0);
        let mut packets =
            Self { out, buffer, packet, last, default_track, kept, written, packets: sent };
        packets.put(&first_packet(origin, default_track))?;
        Ok(packets)
    }

    /// Adds a track. Must come before its first event.
    pub(super) fn describe(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.put(&TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_descriptor: Some(track),
            ..TracePacket::default()
        })
    }

    /// The next event, for the caller to fill in and then send.
    pub(super) fn event(&mut self, kind: EventType, track: u64) -> &mut TrackEvent {
        let other = (track != self.default_track).then_some(track);
        let event = self.packet.track_event.get_or_insert_default();
        event.clear();
        event.r#type = Some(kind as i32);
        event.track_uuid = other;
        event
    }

    /// Sends the event with its time `at` in nanoseconds, and the names that it uses for the first
    /// time.
    pub(super) fn send(&mut self, at: u64, fresh: &mut InternedData) -> io::Result<()> {
        (self.packet.timestamp, self.packet.timestamp_clock_id) = self.stamp(at);
        self.packet.interned_data = take_fresh(fresh);
        self.buffer.push(PACKET_TAG);
        self.packet.encode_length_delimited(&mut self.buffer).expect("a Vec has room for anything");
        self.count()
    }

    /// Sends a packet that is not a track event.
    pub(super) fn send_other(
        &mut self,
        at: u64,
        mut packet: TracePacket,
        fresh: &mut InternedData,
    ) -> io::Result<()> {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        packet.sequence_flags = Some(SEQUENCE_NEEDED);
        (packet.timestamp, packet.timestamp_clock_id) = self.stamp(at);
        packet.interned_data = take_fresh(fresh);
        self.put(&packet)
    }

    /// A packet's time and its clock.
    fn stamp(&mut self, at: u64) -> (Option<u64>, Option<u32>) {
        let Some(since) = at.checked_sub(self.last) else {
            return (Some(at), Some(CLOCK_MONOTONIC));
        };
        self.last = at;
        (Some(since), None)
    }

    /// Sends a copy of an earlier packet with a new time. Returns `false` if none is kept.
    #[inline]
    pub(super) fn send_alike(&mut self, at: u64, alike: Alike) -> io::Result<bool> {
        let kept = &self.kept[slot(alike)];
        let Some(since) = at.checked_sub(self.last).filter(|_| kept.alike == Some(alike)) else {
            return Ok(false);
        };
        self.last = at;
        let length = 1 + encoded_len_varint(since) + kept.body.len();
        self.buffer.extend_from_slice(&[PACKET_TAG, length as u8, TIMESTAMP_TAG]);
        encode_varint(since, &mut self.buffer);
        self.buffer.extend_from_slice(&kept.body);
        self.count()?;
        Ok(true)
    }

    /// Sends the event, and keeps it for others that are alike. It must have nothing but what
    /// `alike` says.
    pub(super) fn send_and_keep(
        &mut self,
        at: u64,
        alike: Alike,
        fresh: &mut InternedData,
    ) -> io::Result<()> {
        self.send(at, fresh)?;
        // The copy must not define its names again.
        (self.packet.timestamp, self.packet.timestamp_clock_id) = (None, None);
        self.packet.interned_data = None;
        let kept = &mut self.kept[slot(alike)];
        kept.body.clear();
        self.packet.encode(&mut kept.body).expect("a Vec has room for anything");
        kept.alike = (kept.body.len() <= ALIKE_BYTES_MAX).then_some(alike);
        Ok(())
    }

    /// Writes out what is left. Returns how many packets and bytes there were.
    pub(super) fn finish(mut self) -> io::Result<(u64, u64)> {
        self.write_out()?;
        self.out.flush()?;
        Ok((self.packets, self.written))
    }

    fn put(&mut self, packet: &TracePacket) -> io::Result<()> {
        self.buffer.push(PACKET_TAG);
        packet.encode_length_delimited(&mut self.buffer).expect("a Vec has room for anything");
        self.count()
    }

    fn count(&mut self) -> io::Result<()> {
        self.packets += 1;
        if self.buffer.len() >= BUFFER_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The slot for a packet.
fn slot((track, site): Alike) -> usize {
    let site = site.map_or(0, |site| u64::from(site.0) + 1);
    (track.wrapping_mul(31).wrapping_add(site)) as usize % ALIKE_MAX
}

/// The defaults of all later packets, and one moment on all clocks. With these, viewers show wall
/// time, and can show a system trace of the same machine beside this one.
fn first_packet(origin: Moment, default_track: u64) -> TracePacket {
    let clock = |id, time, incremental: bool| Clock {
        clock_id: Some(id),
        timestamp: Some(time),
        is_incremental: incremental.then_some(true),
    };
    let clocks = vec![
        clock(CLOCK_MONOTONIC, origin.monotonic.0, false),
        clock(CLOCK_REALTIME, origin.wall.0, false),
        clock(CLOCK_SEQUENCE, origin.monotonic.0, true),
    ];
    let primary = i32::try_from(CLOCK_MONOTONIC).ok();
    TracePacket {
        trusted_packet_sequence_id: Some(SEQUENCE),
        sequence_flags: Some(SEQUENCE_CLEARED),
        first_packet_on_sequence: Some(true),
        clock_snapshot: Some(ClockSnapshot { clocks, primary_trace_clock: primary }),
        trace_packet_defaults: Some(TracePacketDefaults {
            track_event_defaults: Some(TrackEventDefaults { track_uuid: Some(default_track) }),
            perf_sample_defaults: Some(PerfSampleDefaults {
                timebase: Some(Timebase { counter: Some(COUNTER_CPU_CLOCK) }),
            }),
            timestamp_clock_id: Some(CLOCK_SEQUENCE),
        }),
        ..TracePacket::default()
    }
}

fn take_fresh(fresh: &mut InternedData) -> Option<InternedData> {
    (*fresh != InternedData::default()).then(|| std::mem::take(fresh))
}
