#!/usr/bin/env python3
"""Checks a Perfetto trace with the published schema: `check_perfetto.py [--unfinished N] FILE`.

Needs PyPI's `perfetto` and `protobuf`. Decodes packet by packet, so a file may be larger than
memory, and keeps to what Perfetto's importer demands:

- no field, at any depth, that the schema does not know;
- one packet sequence, whose first packet clears its state and sets its clocks and defaults;
- tracks are described once, before their first event, below a parent that exists; threads named;
- every interned number means something, and only one thing;
- times never run backwards on a track;
- ends come only for slices that were begun; slices left open are counted, and must be as many as
  `--unfinished` says;
- below an async task's slice lie what it does, one after another, and marks; nothing lies deeper,
  and each of its stages has a known name;
- an arrow to a poll leads from one mark to at most one slice, which is not earlier;
- counter tracks have values and nothing else;
- callstacks, their frames and modules are there before they are used;
- a thread's states are about a thread that is described, each CPU runs one thread at a time, and
  nothing runs that runs already: importers drop what contradicts that.

Prints what it counted. Exits 0 if all holds, 1 with the faults if not, 2 for wrong use.
"""

import argparse
import collections
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

FAULTS_SHOWN_MAX = 20
MONOTONIC = schema.BUILTIN_CLOCK_MONOTONIC
REALTIME = schema.BUILTIN_CLOCK_REALTIME
CLEARED = schema.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
NEEDED = schema.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
EVENT = schema.TrackEvent
STATE = schema.GenericKernelTaskStateEvent
ASYNC_TASKS = "Async tasks"
STAGES = {"ready", "polled", "idle"}
ARROW = 1 << 62
CALL_ARROW = 1 << 63


def packets(file):
    """The packets of a trace: field 1 of `Trace`, each with its length in front."""
    while tag := file.read(1):
        if tag != b"\x0a":
            raise ValueError(f"tag {tag.hex()} at byte {file.tell() - 1}: no packet")
        count = shift = 0
        while True:
            byte = file.read(1)
            if not byte:
                raise ValueError("the file ends in a packet's length")
            count |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        body = file.read(count)
        if len(body) != count:
            raise ValueError("the file ends inside a packet")
        yield schema.TracePacket.FromString(body)


def unknown_fields(message, path):
    """Paths to fields the schema does not know, at any depth."""
    for field in UnknownFieldSet(message):
        yield f"{path}.{field.field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for item in value if descriptor.is_repeated else [value]:
            yield from unknown_fields(item, f"{path}.{descriptor.name}")


class Track:
    """One track: how it is described, and the slices that are open on it."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.open = []
        self.last = 0
        self.events = 0

    @property
    def name(self):
        """What people see."""
        each = self.descriptor
        return each.thread.thread_name or each.name or each.process.process_name


class Checker:
    """All state of a check."""

    def __init__(self):
        self.faults = []
        self.counts = collections.Counter()
        self.tracks = {}
        self.interned = collections.defaultdict(dict)
        self.clock = None
        self.default_clock = None
        self.default_track = 0
        self.at = 0
        self.now = 0
        self.first = self.last = None
        self.flows = collections.Counter()
        self.marks = {}
        self.threads = set()
        self.states = {}
        self.pending_states = []

    def fault(self, text):
        """Something is wrong with the packet at hand."""
        self.counts["faults"] += 1
        if len(self.faults) < FAULTS_SHOWN_MAX:
            self.faults.append(f"packet {self.at}: {text}")

    def packet(self, packet):
        """Checks one packet."""
        for path in unknown_fields(packet, "packet"):
            self.fault(f"unknown field {path}")
        if packet.trusted_packet_sequence_id != 1:
            self.fault("another packet sequence")
        if self.at == 0:
            self.begin(packet)
        self.intern(packet.interned_data)
        data = packet.WhichOneof("data")
        if data == "track_descriptor":
            self.describe(packet.track_descriptor)
        elif data == "track_event":
            if packet.sequence_flags != NEEDED:
                self.fault("an event that does not say it needs the sequence's state")
            self.event(packet)
        elif data == "generic_kernel_task_state_event":
            self.state(packet)
        elif data == "perf_sample":
            self.sample(packet)
        elif data != "clock_snapshot" or self.at > 0:
            self.fault(f"a packet with {data}")
        self.at += 1

    def begin(self, packet):
        """The first packet: all state begins here."""
        clocks = {clock.clock_id: clock for clock in packet.clock_snapshot.clocks}
        if not packet.first_packet_on_sequence or packet.sequence_flags != CLEARED:
            self.fault("the first packet does not clear the sequence's state")
        if packet.clock_snapshot.primary_trace_clock != MONOTONIC or MONOTONIC not in clocks:
            self.fault("the trace's clock is not the monotonic one")
        if REALTIME not in clocks:
            self.fault("no wall clock")
        defaults = packet.trace_packet_defaults
        self.default_clock = defaults.timestamp_clock_id
        self.default_track = defaults.track_event_defaults.track_uuid
        own = clocks.get(self.default_clock)
        if own is None or not own.is_incremental or not 64 <= own.clock_id < 128:
            self.fault("the default clock is no incremental clock of the sequence")
        else:
            self.clock = own.timestamp

    def intern(self, data):
        """Takes over interned names; the messages differ only in what they call the text."""
        for field, items in data.ListFields():
            for item in items:
                known = self.interned[field.name]
                if item.iid == 0 or item.iid in known:
                    self.fault(f"{field.name} {item.iid} means two things, or is 0")
                known[item.iid] = item
                self.counts[f"interned {field.name}"] += 1
        # What they consist of may stand in the same packet, so all of it is known by now.
        for mapping in data.mappings:
            self.resolve("build_ids", mapping.build_id)
            for path in mapping.path_string_ids:
                self.resolve("mapping_paths", path)
        for frame in data.frames:
            self.resolve("function_names", frame.function_name_id)
            self.resolve("mappings", frame.mapping_id)
            if frame.source_path_iid:
                self.resolve("source_paths", frame.source_path_iid)
        for callstack in data.callstacks:
            for frame in callstack.frame_ids:
                self.resolve("frames", frame)

    def resolve(self, table, iid):
        """A use of an interned number."""
        if iid not in self.interned[table]:
            self.fault(f"{table} {iid} means nothing yet")

    def describe(self, track):
        """A new track."""
        if track.uuid == 0 or track.uuid in self.tracks:
            self.fault(f"track {track.uuid} is described twice, or is 0")
        if track.parent_uuid and track.parent_uuid not in self.tracks:
            self.fault(f"track {track.uuid} is below {track.parent_uuid}, which is nothing yet")
        self.tracks[track.uuid] = Track(track)
        if not self.tracks[track.uuid].name:
            self.fault(f"track {track.uuid} has no name")
        special = [kind for kind in ("process", "thread", "counter") if track.HasField(kind)]
        kind = special[0] if special else "other"
        self.counts[f"tracks: {kind}"] += 1
        if kind == "thread":
            self.threads.add(track.thread.tid)
        if kind == "thread" and (track.thread.pid <= 0 or track.thread.tid <= 0):
            self.fault(f"thread track {track.uuid} without pid and tid")

    def state(self, packet):
        """A thread's state from a moment on. They need not come in the order of time."""
        event = packet.generic_kernel_task_state_event
        self.now = self.time(packet)
        if packet.sequence_flags != NEEDED:
            self.fault("a state that does not say it needs the sequence's clock")
        if event.tid not in self.threads:
            self.fault(f"a state of thread {event.tid}, which is not described")
        name = STATE.TaskStateEnum.Name(event.state)
        self.counts[f"states: {name}"] += 1
        self.pending_states.append((self.now, self.at, event.tid, event.cpu, name, event.comm))

    def sample(self, packet):
        """What a thread was doing."""
        self.now = self.time(packet)
        sample = packet.perf_sample
        if packet.sequence_flags != NEEDED:
            self.fault("a sample that does not say it needs the sequence's state")
        self.resolve("callstacks", sample.callstack_iid)
        if sample.tid not in self.threads:
            self.fault(f"a sample of thread {sample.tid}, which is not described")
        self.counts["samples"] += 1

    def finish_states(self):
        """Goes through all states in the order of time, as importers do."""
        cpus = {}
        for now, self.at, tid, cpu, name, comm in sorted(self.pending_states):
            was = self.states.get(tid)
            if not comm:
                self.fault(f"a state of thread {tid} without a name")
            if name == "TASK_STATE_RUNNING":
                if was == name:
                    self.fault(f"thread {tid} runs twice at {now}")
                if cpus.get(cpu):
                    self.counts["threads that left a CPU unseen"] += 1
                    self.states[cpus[cpu]] = None
                cpus[cpu] = tid
            elif was == "TASK_STATE_RUNNING":
                cpus = {at: other for at, other in cpus.items() if other != tid}
            self.states[tid] = name

    def time(self, packet):
        """The packet's time in nanoseconds."""
        if not packet.HasField("timestamp"):
            self.fault("an event without a time")
            return self.now
        if packet.timestamp_clock_id == MONOTONIC:
            self.counts["events out of turn"] += 1
            return packet.timestamp
        if packet.timestamp_clock_id != 0:
            self.fault(f"clock {packet.timestamp_clock_id}")
        self.clock = (self.clock or 0) + packet.timestamp
        return self.clock

    def event(self, packet):
        """A slice begins or ends, an instant, a counter's value."""
        event = packet.track_event
        self.now = self.time(packet)
        self.first = self.now if self.first is None else min(self.first, self.now)
        self.last = self.now if self.last is None else max(self.last, self.now)
        uuid = event.track_uuid if event.HasField("track_uuid") else self.default_track
        track = self.tracks.get(uuid)
        if track is None:
            self.fault(f"an event on track {uuid}, which is not described")
            return
        track.events += 1
        if self.now < track.last:
            self.fault(f"track {uuid} ({track.name}): time runs back by {track.last - self.now} ns")
        track.last = self.now
        self.names(event)
        self.counts[EVENT.Type.Name(event.type)] += 1
        if (event.type == EVENT.TYPE_COUNTER) != track.descriptor.HasField("counter"):
            self.fault(f"track {uuid} ({track.name}) mixes counters and slices")
        self.arrows(event)
        if event.type == EVENT.TYPE_SLICE_BEGIN:
            self.stage(event, track)
            track.open.append(event.name_iid or event.name)
            self.counts["deepest"] = max(self.counts["deepest"], len(track.open))
        elif event.type == EVENT.TYPE_SLICE_END:
            if track.open:
                track.open.pop()
            else:
                self.fault(f"track {uuid} ({track.name}): an end without a begin")
        elif event.type == EVENT.TYPE_COUNTER:
            if event.WhichOneof("counter_value_field") is None:
                self.fault(f"counter {track.name} without a value")
        elif event.type != EVENT.TYPE_INSTANT:
            self.fault(f"event type {event.type}")

    def stage(self, event, track):
        """A slice that begins on an async task's track is its life, or below that what it does."""
        parent = self.tracks.get(track.descriptor.parent_uuid)
        if parent is None or parent.name != ASYNC_TASKS:
            return
        if not track.open:
            self.counts["async tasks"] += 1
            return
        known = self.interned["event_names"].get(event.name_iid)
        name = known.name if known else event.name
        self.counts[f"stages: {name}"] += 1
        if name not in STAGES:
            self.fault(f"async task {track.name} does {name}, which is no stage")
        if len(track.open) > 1:
            self.fault(f"async task {track.name}: a stage inside a stage")

    def arrows(self, event):
        """Arrows to polls: a mark, and later the slice that it led to."""
        for flow in event.flow_ids:
            if flow & CALL_ARROW or not flow & ARROW:
                continue
            self.counts["arrows to polls: ends"] += flow in self.marks
            if flow not in self.marks:
                if event.type != EVENT.TYPE_INSTANT:
                    self.fault(f"arrow {flow} does not begin at a mark")
                self.marks[flow] = self.now
            elif self.marks[flow] is None:
                self.fault(f"arrow {flow} leads to more than one poll")
            else:
                if event.type != EVENT.TYPE_SLICE_BEGIN or self.now < self.marks[flow]:
                    self.fault(f"arrow {flow} ends at no slice, or before it began")
                self.marks[flow] = None

    def names(self, event):
        """All interned numbers of an event, and that it has a name where it needs one."""
        named = event.name_iid or event.name
        if event.type in (EVENT.TYPE_SLICE_BEGIN, EVENT.TYPE_INSTANT):
            if not event.HasField("name") and not event.name_iid:
                self.fault("a slice or an instant without a name")
        elif named:
            self.fault("an end or a counter with a name")
        if event.name_iid:
            self.resolve("event_names", event.name_iid)
        for iid in event.category_iids:
            self.resolve("event_categories", iid)
        if event.source_location_iid:
            self.resolve("source_locations", event.source_location_iid)
        for annotation in event.debug_annotations:
            self.resolve("debug_annotation_names", annotation.name_iid)
            if annotation.WhichOneof("value") is None:
                self.fault("an annotation without a value")
            if annotation.string_value_iid:
                self.resolve("debug_annotation_string_values", annotation.string_value_iid)
            self.counts["annotations"] += 1
        if event.callstack_iid:
            self.resolve("callstacks", event.callstack_iid)
            self.counts["events with stacks"] += 1
        self.flows.update(event.flow_ids)

    def finish(self, unfinished):
        """What only the whole file shows."""
        if self.at == 0:
            self.fault("the file is empty")
        self.counts["unfinished slices"] = sum(len(track.open) for track in self.tracks.values())
        if unfinished is not None and self.counts["unfinished slices"] != unfinished:
            self.fault(f"{self.counts['unfinished slices']} slices are open, not {unfinished}")
        default = self.tracks.get(self.default_track)
        if default and not default.events and not default.descriptor.HasField("thread"):
            self.fault("the default track has no events")
        packets = self.at
        self.finish_states()
        self.at = packets
        self.counts["flows"] = len(self.flows)
        self.counts["flow arrows"] = sum(self.flows.values()) - len(self.flows)
        self.counts["packets"] = self.at

    def report(self):
        """Prints counts and faults; returns whether all is well."""
        for name, count in sorted(self.counts.items()):
            print(f"{count:>12,}  {name}")
        if self.first is not None:
            print(f"{(self.last - self.first) / 1e9:>12.6f}  seconds")
        for text in self.faults:
            print(f"fault: {text}", file=sys.stderr)
        return not self.counts["faults"]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="Checks a Perfetto trace with its schema.")
    parser.add_argument("--unfinished", type=int, help="the number of slices that are left open")
    parser.add_argument("file", type=argparse.FileType("rb"))
    arguments = parser.parse_args()
    checker = Checker()
    try:
        for packet in packets(arguments.file):
            checker.packet(packet)
    except Exception as cause:  # A decoder's own errors have no common base worth naming.
        checker.fault(f"can't be decoded: {cause}")
    checker.finish(arguments.unfinished)
    return 0 if checker.report() else 1


if __name__ == "__main__":
    sys.exit(main())
