//! What can be said about the pages before they are served.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use exectrace::{FlightRecorder, Options};

/// Nobody waits for longer; times can be added without a thought.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Who may ask, and for how much. The defaults suit production.
#[derive(Clone)]
#[must_use = "a configuration does nothing until something is served with it"]
pub struct Config {
    pub(crate) recorder: Option<Arc<FlightRecorder>>,
    pub(crate) options: Options,
    pub(crate) token: Option<String>,
    pub(crate) guesses_max: u32,
    pub(crate) guesses_within: Duration,
    pub(crate) allow_remote: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) seconds_max: u32,
    pub(crate) bytes_max: u64,
    pub(crate) requests_max: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) stall_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            recorder: None,
            options: Options::default(),
            token: None,
            guesses_max: 10,
            guesses_within: Duration::from_secs(60),
            allow_remote: false,
            hosts: Vec::new(),
            seconds_max: 60,
            bytes_max: 256 << 20,
            requests_max: 8,
            read_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(5),
        }
    }
}

/// A token is not for logs.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("recorder", &self.recorder.is_some())
            .field("options", &self.options)
            .field("token", &self.token.as_ref().map(|_| ".."))
            .field("guesses_max", &self.guesses_max)
            .field("guesses_within", &self.guesses_within)
            .field("allow_remote", &self.allow_remote)
            .field("hosts", &self.hosts)
            .field("seconds_max", &self.seconds_max)
            .field("bytes_max", &self.bytes_max)
            .field("requests_max", &self.requests_max)
            .field("read_timeout", &self.read_timeout)
            .field("stall_timeout", &self.stall_timeout)
            .finish()
    }
}

impl Config {
    /// The defaults: this machine only, no token, 60 s, 256 MiB, 8 requests at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose last seconds `snapshot` and `?from=snapshot` are.
    pub fn recorder(mut self, recorder: Arc<FlightRecorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// What is recorded, and how. While a flight recorder runs, its options hold.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Only who has this token is served, from anywhere: `Authorization: Bearer TOKEN`, or as the
    /// password of any user, which is what `go tool pprof http://:TOKEN@host/..` and browsers send.
    /// Use TLS, or a tunnel, where others listen. An empty token is nobody's. A good one is 128
    /// bits of chance; [`Config::guesses_max`] is there for the others.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How many wrong tokens an address may send within a while: 10 within 60 s unless told
    /// otherwise; at least 1, within 1 ms to an hour. Then all of its tokens are refused unheard,
    /// even the right one, with 429 and `Retry-After`, until the while since its first wrong one
    /// is over. Others are served as before: nobody is locked out by a stranger, except by one of
    /// the same address, as that of a proxy. Half an address of IPv6 counts, and all that a router
    /// knows no address of count as one.
    pub fn guesses_max(mut self, wrong: u32, within: Duration) -> Self {
        self.guesses_max = wrong.max(1);
        self.guesses_within = within.clamp(Duration::from_millis(1), TIMEOUT_MAX);
        self
    }

    /// Whether others than this machine are served without a token. Anybody who can reach the port
    /// then sees what the program does, and can make it record. Web pages of other sites are still
    /// refused; for that a request must name an address of the machine, `localhost`, or a name
    /// listed with [`Config::host`].
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Lists one more name under which the pages are served, as it stands in `Host`: that of the
    /// machine, of a virtual host, or of a proxy. Ports and case do not matter; names below it are
    /// not included; an international name is listed in its `xn--` form.
    ///
    /// `localhost` and addresses need not be listed: all addresses with a token or
    /// [`Config::allow_remote`], else those of the loopback interface. Every other name is refused
    /// with 403, also with the right token, for it may be another site's whose owner let it lead
    /// here (DNS rebinding). A proxy that sends `X-Forwarded-Host` or `Forwarded: host=` must have
    /// been asked under a listed name as well.
    ///
    /// ```
    /// let config = trace_http::Config::new().allow_remote(true).host("service.internal.example");
    /// # let _ = config;
    /// ```
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// The most seconds that one request may record: 60 unless told otherwise, at least 1.
    pub fn seconds_max(mut self, seconds: u32) -> Self {
        self.seconds_max = seconds.max(1);
        self
    }

    /// A recording that has so many bytes is ended, as if its time was over; 256 MiB unless told
    /// otherwise, at least 64 KiB. What threads hold then, at most [`Options::memory_max`], comes
    /// on top. A trace is passed on as it is written; a profile's is kept until it is read, so the
    /// bound of it is 64 MiB in any case.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes.max(64 << 10);
        self
    }

    /// The most requests at once; 8 unless told otherwise, at least 1.
    pub fn requests_max(mut self, requests: usize) -> Self {
        self.requests_max = requests.clamp(1, 1 << 16);
        self
    }

    /// How long a client may take for its request: of the listener for the head, everywhere for the
    /// body. 5 s unless told otherwise.
    pub fn read_timeout(mut self, time: Duration) -> Self {
        self.read_timeout = time.min(TIMEOUT_MAX);
        self
    }

    /// How long a client may take nothing of a trace, once 4 MiB wait for it, before the recording
    /// is ended: 5 s unless told otherwise. Until then a flight recorder waits, too. Once the time
    /// of the recording is over, what is left of it may take twelve times as long in all.
    pub fn stall_timeout(mut self, time: Duration) -> Self {
        self.stall_timeout = time.min(TIMEOUT_MAX);
        self
    }
}
