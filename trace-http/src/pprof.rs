//! Profiles for `pprof`, made from a trace that is recorded for them, or from the flight
//! recorder's.
//!
//! This process itself reads the trace and names its functions, on a thread that may block.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::Semaphore;
use trace_analysis::Trace;
use trace_analysis::heap::{Heap, HeapOptions};
use trace_analysis::life::Lives;
use trace_analysis::profile::ProfileKind;
use trace_analysis::symbols::Symbols;
use trace_export::profile::contents::{profile, was_recorded, why_empty};
use trace_export::profile::{Code, pprof};
use trace_format::read::TraceFile;
use trace_symbols::binaries::Binaries;
use trace_symbols::name;

use crate::config::Config;
use crate::query::Query;
use crate::recording::record;
use crate::refusal::Refusal;
use crate::routes::Shared;
use crate::trace::{aside, file, limits, snapshot_of};

/// Samples per second of a CPU, as in Go's profiles.
const CPU_SAMPLES: u32 = 100;

/// Maximum size of a profile's trace, which is in memory until it is read. A profile whose trace
/// reached this limit states its shorter length.
const TRACE_BYTES_MAX: u64 = 64 << 20;

/// Making a profile uses a core of the traced program, and memory in addition to the trace; so only
/// one is made at a time.
static TURN: Semaphore = Semaphore::const_new(1);

pub(crate) async fn cpu(state: State<Shared>, query: RawQuery) -> Result<Response, Refusal> {
    of_kind(state, query, ProfileKind::Cpu).await
}

pub(crate) async fn block(state: State<Shared>, query: RawQuery) -> Result<Response, Refusal> {
    of_kind(state, query, ProfileKind::Block).await
}

pub(crate) async fn mutex(state: State<Shared>, query: RawQuery) -> Result<Response, Refusal> {
    of_kind(state, query, ProfileKind::Lock).await
}

pub(crate) async fn heap(state: State<Shared>, query: RawQuery) -> Result<Response, Refusal> {
    of_kind(state, query, ProfileKind::Heap).await
}

async fn of_kind(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
    kind: ProfileKind,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref(), &["seconds", "from"], config.seconds_max)?;
    let (trace, turn) = if query.from_snapshot {
        let turn = TURN.acquire().await;
        (snapshot_of(&config, false).await?, turn)
    } else {
        (recorded(&config, kind, query.length).await?, TURN.acquire().await)
    };
    let made = move || {
        // Held until the profile is made, even if the client is gone.
        let _turn = turn;
        encode(trace, kind)
    };
    Ok(file(Body::from(aside(made).await??), &format!("{}.pb.gz", kind.name())))
}

async fn recorded(
    config: &Config,
    kind: ProfileKind,
    length: Duration,
) -> Result<Vec<u8>, Refusal> {
    let options = match kind {
        ProfileKind::Cpu => config.options.clone().cpu_samples(CPU_SAMPLES),
        _ => config.options.clone(),
    };
    // Names are looked up when the profile is made.
    let options = options.names(false);
    let mut limits = limits(config);
    limits.bytes_max = limits.bytes_max.min(TRACE_BYTES_MAX);
    let trace = record(options, length, limits).await?;
    trace.collect().await.map_err(|error| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("the recording failed: {error}"))
    })
}

fn encode(trace: Vec<u8>, kind: ProfileKind) -> Result<Vec<u8>, Refusal> {
    let failed = |text: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text);
    let trace = TraceFile::open(trace).map_err(|error| {
        failed(format!("a fault in exectrace: the trace can't be read: {error}"))
    })?;
    let tables = trace.tables();
    if !was_recorded(tables, kind) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, why_empty(tables, kind)));
    }
    let symbols = symbols(&trace);
    let (samples, sample_bytes, time) = if kind == ProfileKind::Heap {
        let heap = Heap::read(&trace, &HeapOptions::default(), |_| {});
        (heap.profile().samples, heap.sample_bytes, heap.from..heap.at)
    } else {
        let lives = Lives::read(&Trace::new(&trace).named(&symbols), |_| {});
        (lives.profile(kind).samples, 0, lives.from..lives.to)
    };
    let profile = profile(tables, kind, &samples, sample_bytes, time);
    let code = Code { symbols: &symbols, modules: &tables.modules, without_std: false };
    let mut out = Vec::new();
    pprof::write(&profile, code, &mut out)
        .map_err(|error| failed(format!("the profile can't be written: {error}")))?;
    Ok(out)
}

/// Names from this process's own files. A function without a name is shown by its address.
fn symbols(trace: &TraceFile<Vec<u8>>) -> Symbols {
    let tables = trace.tables();
    let mut symbols = Symbols::of_trace(tables);
    let stacks = tables.stacks.values().flat_map(|stack| stack.addresses.iter().copied());
    let entries = tables.threads.values().map(|thread| thread.entry).filter(|entry| *entry > 0);
    let addresses: BTreeSet<u64> = stacks.chain(entries).collect();
    let began = Duration::from_nanos(tables.clock.origin().wall.0);
    let binaries = Binaries::new(SystemTime::UNIX_EPOCH + began);
    name(&mut symbols, addresses, &binaries);
    symbols
}
