//! The configuration of the pages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use exectrace::{FlightRecorder, Options};

/// Maximum of every time limit; so adding times cannot overflow.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Who may ask, and how much a request may record. The defaults suit production.
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

/// Prints no token, because the text may go to a log.
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

    /// The flight recorder that `snapshot` and `?from=snapshot` read.
    pub fn recorder(mut self, recorder: Arc<FlightRecorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// What is recorded, and how. While a flight recorder runs, its own options apply instead.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Serves only clients that send this token, from any address: as
    /// `Authorization: Bearer TOKEN`, or as the password of any user, which is what
    /// `go tool pprof http://:TOKEN@host/..` and browsers send. Use TLS or a tunnel if others can
    /// read the traffic. With an empty token nobody is served. A good token has 128 random bits;
    /// [`Config::guesses_max`] protects weaker ones.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Maximum number of wrong tokens from one address within a time; by default 10 within 60 s. At
    /// least 1, and within 1 ms to an hour. After that, requests from the address are rejected with
    /// 429 and `Retry-After`, even with the right token, until the time since its first wrong token
    /// is over. Other addresses are served as before. Clients behind one proxy share an address, so
    /// one of them can lock out the others. Of an IPv6 address the first half counts. All clients
    /// whose address the router does not know count as one.
    pub fn guesses_max(mut self, wrong: u32, within: Duration) -> Self {
        self.guesses_max = wrong.max(1);
        self.guesses_within = within.clamp(Duration::from_millis(1), TIMEOUT_MAX);
        self
    }

    /// Whether clients on other machines are served without a token. Then anybody who can reach the
    /// port sees what the program does, and can make it record. Web pages of other sites are still
    /// refused: a request must name an IP address, `localhost`, or a name listed with
    /// [`Config::host`].
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Adds a name under which the pages are served, as it stands in `Host`: the name of the
    /// machine, of a virtual host, or of a proxy. Ports and case do not matter; subdomains are not
    /// included; give an international name in its `xn--` form.
    ///
    /// `localhost` and IP addresses need not be listed: all IP addresses with a token or
    /// [`Config::allow_remote`], otherwise those of the loopback interface. A request for any other
    /// name is refused with 403, even with the right token, because another site's owner may have
    /// pointed that name at this machine (DNS rebinding). If a proxy sends `X-Forwarded-Host` or
    /// `Forwarded: host=`, that name must be listed, too.
    ///
    /// ```
    /// let config = trace_http::Config::new().allow_remote(true).host("service.internal.example");
    /// # let _ = config;
    /// ```
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Maximum number of seconds that one request may record; 60 by default, at least 1.
    pub fn seconds_max(mut self, seconds: u32) -> Self {
        self.seconds_max = seconds.max(1);
        self
    }

    /// Number of bytes after which a recording ends as if its time were over; 256 MiB by default,
    /// at least 64 KiB. The events that threads hold at that moment, at most
    /// [`Options::memory_max`], are added. A trace is sent as it is written. The trace of a profile
    /// is kept in memory until it is read, so its limit is never above 64 MiB.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes.max(64 << 10);
        self
    }

    /// Maximum number of requests at once; 8 by default, at least 1.
    pub fn requests_max(mut self, requests: usize) -> Self {
        self.requests_max = requests.clamp(1, 1 << 16);
        self
    }

    /// Maximum time in which a client must send its request; 5 s by default. It limits the body,
    /// and for requests to [`serve`](crate::serve) also the head.
    pub fn read_timeout(mut self, time: Duration) -> Self {
        self.read_timeout = time.min(TIMEOUT_MAX);
        self
    }

    /// How long a client may read nothing while 4 MiB of a trace wait for it; 5 s by default. After
    /// that the recording ends. Until then a flight recorder waits, too. Once the time of the
    /// recording is over, the client may take twelve times as long in total for the rest.
    pub fn stall_timeout(mut self, time: Duration) -> Self {
        self.stall_timeout = time.min(TIMEOUT_MAX);
        self
    }
}
