//! What calls returned, in words.

pub use trace_export::label::call::{class, resource};
use trace_export::label::errno;
use trace_format::call::CallClass;
use trace_format::id::CallId;

use super::units;

/// The function's name; `call 200` if only a newer version knows it.
#[must_use]
pub fn name(call: CallId) -> String {
    trace_export::label::call::name(call).into_owned()
}

/// What a call returned: `512 B`, `2 woken`, `ENOENT`, `ok`, or a bare number.
#[must_use]
pub fn result(call: CallId, result: i64) -> String {
    let Ok(count) = u64::try_from(result) else { return errno::shown(result.unsigned_abs()) };
    match call.info().map(|info| info.class) {
        Some(CallClass::Read | CallClass::Write) => units::bytes(count),
        // Only the system call says how many: functions of the C library return 0.
        Some(CallClass::FutexWake) if !name(call).starts_with("pthread_") => {
            format!("{} woken", units::count(count))
        }
        Some(CallClass::Poll) => format!("{} ready", units::count(count)),
        Some(CallClass::Open | CallClass::Accept) => format!("fd {count}"),
        _ if count == 0 => "ok".to_owned(),
        _ => count.to_string(),
    }
}

/// What follows a call that has ended: ` = 512 B`, ` failed: ENOENT`.
#[must_use]
pub fn ending(call: CallId, result: i64) -> String {
    let shown = self::result(call, result);
    if result < 0 { format!(" failed: {shown}") } else { format!(" = {shown}") }
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
        assert_eq!(ending(CallId::READ, 512), " = 512 B");
        assert_eq!(ending(CallId::READ, -11), " failed: EAGAIN");
        assert_eq!(name(CallId(250)), "call 250");
    }
}
