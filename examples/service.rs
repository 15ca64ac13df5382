//! A slow web service: `service [--out FILE] [--seconds N]` traces itself under load.
//! `service --serve ADDRESS [--dumps DIR]` runs until it is ended, serves traces over HTTP, and
//! writes a trace by itself when a request takes too long, as `/stall` does.
//!
//! Most requests only ask for its health, and still take long. Eight clients load it for a while;
//! then ask the command `exectrace async` why. The service has two common faults: a handler that
//! blocks the thread that all others need, and a lock that is held while its holder waits for
//! something else.
//!
//! To see that, the service needs the feature `tokio`, `exectrace::tokio::runtime()` in place of
//! tokio's own, and `#[traced]` on the handlers.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use exectrace::tokio::BuilderExt as _;
use exectrace::{FlightRecorder, Options, Task, traced};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// Number of clients at once.
const CLIENTS: u64 = 8;

/// Length of a round of load; with `--serve` rounds repeat, so that the list of times stays short.
const TURN: Duration = Duration::from_secs(10);

/// The options of the command line.
struct Asked {
    out: PathBuf,
    load_for: Duration,
    serve: Option<String>,
    dumps: PathBuf,
}

/// A request that takes longer than this makes the service write a trace.
const TOO_LONG: Duration = Duration::from_millis(300);

/// How often each account was asked for.
type Accounts = Arc<Mutex<BTreeMap<u64, u64>>>;

/// How long requests took, by path.
type Loaded = Result<BTreeMap<&'static str, Vec<Duration>>, Failure>;

type Failure = Box<dyn Error + Send + Sync>;

#[traced]
async fn health() -> &'static str {
    "well\n"
}

/// Fault number one: the lock is still held while the mail is sent.
#[traced(args(id))]
async fn account(State(accounts): State<Accounts>, Path(id): Path<u64>) -> String {
    let mut accounts = accounts.lock().await;
    let asked = accounts.entry(id).or_default();
    *asked += 1;
    send_mail(id).await;
    format!("account {id}: asked for {asked} times\n")
}

#[traced(args(id))]
async fn send_mail(id: u64) {
    tokio::time::sleep(Duration::from_millis(2 + id % 3)).await;
}

/// Fault number two: the function it calls does not await, it blocks.
#[traced(args(id))]
async fn report(Path(id): Path<u64>) -> String {
    render(id)
}

fn render(id: u64) -> String {
    // Stands for a template engine, a database driver, or a file on a slow disk.
    thread::sleep(Duration::from_millis(25));
    format!("report {id}: nothing to report\n")
}

/// A stall on demand.
#[traced]
async fn stall() -> &'static str {
    thread::sleep(TOO_LONG + TOO_LONG / 2);
    "that took too long\n"
}

/// Makes each request a task, until its answer is complete.
async fn as_task(request: Request, next: Next) -> Response {
    let task = Task::new("request");
    let answer = task.wrap(next.run(request)).await;
    task.end();
    answer
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Failure> {
    let Asked { out, load_for, serve, dumps } = arguments()?;
    if let Some(address) = serve {
        return serve_on(&address, &dumps);
    }
    // The trace has the names of functions, so it can still be read after a rebuild.
    let trace = exectrace::start_with(Options::new().names(true), File::create(&out)?)?;
    let latencies = serve_under_load(load_for)?;
    let report = trace.stop()?;

    println!("{:<12} {:>8} {:>10} {:>10}", "request", "times", "p50", "p99");
    for (path, mut times) in latencies {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        println!("{path:<12} {:>8} {:>10.1?} {:>10.1?}", times.len(), at(50), at(99));
    }
    let (events, bytes, dropped) = (report.events, report.bytes, report.dropped_events);
    println!("\n{}: {events} events in {bytes} bytes, {dropped} dropped\n", out.display());
    println!(
        "What blocked the tasks?  cargo run --release --bin exectrace -- async {}",
        out.display()
    );
    println!(
        "Why was it slow?         cargo run --release --bin exectrace -- explain {}",
        out.display()
    );
    Ok(())
}

/// Serves under load until the process is ended, with a flight recorder; `/debug/trace/` has traces
/// of it.
fn serve_on(address: &str, dumps: &FilePath) -> Result<(), Failure> {
    // Samples cost little, and without them nothing shows which functions ran on CPUs.
    let options = Options::new().cpu_samples(100).names(true);
    std::fs::create_dir_all(dumps)?;
    let last = dumps.join("last.trace");
    let recorder = FlightRecorder::builder().options(options).mapped(&last).start()?;
    let recorder = Arc::new(recorder);
    recorder.on_slow("request", TOO_LONG, dumps)?;
    let server = exectrace::tokio::runtime()?;
    let listener = server.block_on(TcpListener::bind(address))?;
    let address = listener.local_addr()?;
    println!("http://{address}/debug/trace/");
    println!("exectrace record {address} --seconds 5 -o service.trace");
    println!("go tool pprof http://{address}/debug/pprof/block?seconds=5");
    println!("curl http://{address}/stall, and see {}", dumps.display());
    println!("kill -9 {}, and see {}", std::process::id(), last.display());
    let app = app().route("/stall", get(stall)).layer(middleware::from_fn(as_task));
    let app = app.merge(trace_http::router(trace_http::Config::new().recorder(recorder)));
    // The pages need the client's address: only this machine is served.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = server.spawn(async move { axum::serve(listener, app).await });
    loop {
        start_load(address, TURN)?.join().map_err(|_| "the clients panicked")??;
        if serving.is_finished() {
            return Ok(server.block_on(serving)??);
        }
    }
}

/// Serves on this thread's runtime, and loads from another's. Returns how long each request took,
/// by path.
fn serve_under_load(load_for: Duration) -> Loaded {
    let server = exectrace::tokio::runtime()?;
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let serving = server.spawn(async move { axum::serve(listener, app()).await });
    let latencies = start_load(address, load_for)?.join().map_err(|_| "the clients panicked")??;
    serving.abort();
    server.shutdown_timeout(Duration::from_secs(1));
    Ok(latencies)
}

fn app() -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/account/{id}", get(account))
        .route("/report/{id}", get(report))
        .with_state(Accounts::default())
}

fn start_load(address: SocketAddr, load_for: Duration) -> io::Result<JoinHandle<Loaded>> {
    thread::Builder::new().name("load".to_owned()).spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .traced_as("clients")
            .build()?
            .block_on(load(address, load_for))
    })
}

async fn load(address: SocketAddr, load_for: Duration) -> Loaded {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let until = Instant::now() + load_for;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|each| {
            let client = client.clone();
            exectrace::tokio::spawn_named("client", ask_on(client, address, each, until))
        })
        .collect();
    let mut latencies = BTreeMap::<_, Vec<_>>::new();
    for client in clients {
        for (path, time) in client.await?? {
            latencies.entry(path).or_default().push(time);
        }
    }
    Ok(latencies)
}

/// One client, which sends requests one after another.
async fn ask_on(
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
    each: u64,
    until: Instant,
) -> Result<Vec<(&'static str, Duration)>, Failure> {
    let mut times = Vec::new();
    for round in each.. {
        let begin = Instant::now();
        if begin >= until {
            break;
        }
        let path = match round % 40 {
            0 => "/report",
            at if at % 3 == 0 => "/account",
            _ => "/health",
        };
        let id = if path == "/health" { String::new() } else { format!("/{}", round % 7) };
        let answer = client.get(format!("http://{address}{path}{id}").parse()?).await?;
        if !answer.status().is_success() {
            return Err(format!("{path}{id}: {}", answer.status()).into());
        }
        answer.into_body().collect().await?;
        times.push((path, begin.elapsed()));
    }
    Ok(times)
}

fn arguments() -> Result<Asked, Failure> {
    let (mut out, mut seconds, mut serve) = (PathBuf::from("service.trace"), 3.0, None);
    let mut dumps = PathBuf::from("slow-requests");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--out" => out = PathBuf::from(value),
            "--seconds" => seconds = value.parse()?,
            "--serve" => serve = Some(value),
            "--dumps" => dumps = PathBuf::from(value),
            _ => {
                let known = "--out FILE, --seconds N, --serve ADDRESS, --dumps DIR";
                return Err(format!("unknown: {word}; known: {known}").into());
            }
        }
    }
    Ok(Asked { out, load_for: Duration::try_from_secs_f64(seconds)?, serve, dumps })
}
