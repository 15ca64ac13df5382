//! Calls into the system in words: which function, about what, with which result.

use trace_format::call::{CallClass, CallInfo};
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, ResourceId};
use trace_format::read::{Resource, Tables};
use trace_profile::escape;

use super::{errno, units};

/// Maximum number of characters of a resource's name that are shown.
const NAME_CHARS_MAX: usize = 120;

/// The function's name; `call 200` if only a newer version knows it.
#[must_use]
pub fn name(call: CallId) -> String {
    call.info().map_or_else(|| format!("call {}", call.0), |info| info.name.to_owned())
}

/// What such calls do, in a word.
#[must_use]
pub fn class(call: CallId) -> &'static str {
    call.info().map_or("other", |info| info.class.name())
}

/// What a call was about: `/etc/hosts (fd 3)`, `127.0.0.1:80 -> 127.0.0.1:41234 (fd 7)`,
/// `0x7f12a0`, `pid 12`. Nothing if there is nothing.
#[must_use]
pub fn resource(tables: &Tables, id: ResourceId) -> Option<String> {
    if id == ResourceId(0) {
        return None;
    }
    Some(match tables.resources.get(&id) {
        Some(resource) => shown(resource),
        None => format!("resource {}", id.0),
    })
}

fn shown(resource: &Resource) -> String {
    let value = resource.value;
    let name = escape::plain(&resource.name, NAME_CHARS_MAX);
    let kind = match resource.kind {
        ResourceKind::Address => return address(value, &name),
        ResourceKind::Process => return format!("pid {value}"),
        ResourceKind::Thread => return format!("thread {value:#x}"),
        ResourceKind::SystemCall => return format!("system call {value}"),
        ResourceKind::File => "file",
        ResourceKind::Socket => "socket",
        ResourceKind::Pipe => "pipe",
        ResourceKind::Event => "eventfd",
        ResourceKind::PollSet => "epoll",
        ResourceKind::Timer => "timerfd",
        _ => "descriptor",
    };
    match name.as_str() {
        "" => format!("{kind} (fd {value})"),
        name => format!("{name} (fd {value})"),
    }
}

fn address(value: u64, name: &str) -> String {
    if name.is_empty() { format!("{value:#x}") } else { format!("{name} at {value:#x}") }
}

/// What a call returned: `512 B`, `2 woken`, `ENOENT`, `ok`, or a bare number.
#[must_use]
pub fn result(call: CallId, result: i64) -> String {
    let Ok(count) = u64::try_from(result) else { return errno::shown(result.unsigned_abs()) };
    match call.info().map(|info| info.class) {
        Some(CallClass::Read | CallClass::Write) => units::bytes(count),
        Some(CallClass::FutexWake) if wakes(call, result) == Some(count) => {
            format!("{} woken", units::count(count))
        }
        Some(CallClass::Poll) => format!("{} ready", units::count(count)),
        Some(CallClass::Open | CallClass::Accept) => format!("fd {count}"),
        _ if count == 0 => "ok".to_owned(),
        _ => count.to_string(),
    }
}

/// Whether a call is made to wait for another thread or for time to pass, so that how long it takes
/// says nothing about the system.
#[must_use]
pub fn is_rest(call: CallId) -> bool {
    use CallClass::{Futex, Join, Poll, Process, Sleep};
    call.info().is_some_and(|info| matches!(info.class, Futex | Join | Poll | Process | Sleep))
}

/// How many waits a call may have ended, going by its result; none if it is no wake.
#[must_use]
pub fn wakes(call: CallId, result: i64) -> Option<u64> {
    let info: &CallInfo = call.info()?;
    if info.class != CallClass::FutexWake {
        return None;
    }
    match call {
        CallId::PTHREAD_COND_BROADCAST if result == 0 => Some(u64::MAX),
        CallId::PTHREAD_COND_SIGNAL | CallId::PTHREAD_MUTEX_UNLOCK if result == 0 => Some(1),
        _ => Some(u64::try_from(result).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_what_their_call_returns() {
        let cases = [
            (CallId::READ, 512, "512 B"),
            (CallId::READ, -11, "EAGAIN"),
            (CallId::FUTEX_WAKE, 2, "2 woken"),
            (CallId::PTHREAD_MUTEX_UNLOCK, 0, "ok"),
            (CallId::OPENAT, 3, "fd 3"),
            (CallId::NANOSLEEP, 0, "ok"),
            (CallId::EPOLL_WAIT, 0, "0 ready"),
            (CallId(250), 7, "7"),
        ];
        for (call, value, expected) in cases {
            assert_eq!(result(call, value), expected, "{}", name(call));
        }
        assert_eq!(name(CallId(250)), "call 250");
    }
}
