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

/// Appends what a call returned: `512 B`, `2 woken`, `ok`, or a bare number.
fn push_count(out: &mut String, call: CallId, count: u64) {
    let is_of_libc = || call.info().is_some_and(|info| info.name.starts_with("pthread_"));
    match call.info().map(|info| info.class) {
        Some(CallClass::Read | CallClass::Write) => out.push_str(&units::bytes(count)),
        // Only the system call says how many: functions of the C library return 0.
        Some(CallClass::FutexWake) if !is_of_libc() => {
            out.push_str(&units::count(count));
            out.push_str(" woken");
        }
        Some(CallClass::Poll) => {
            out.push_str(&units::count(count));
            out.push_str(" ready");
        }
        Some(CallClass::Open | CallClass::Accept) => {
            out.push_str("fd ");
            units::push_number(out, count);
        }
        _ if count == 0 => out.push_str("ok"),
        _ => units::push_number(out, count),
    }
}

/// Appends what follows a call that has ended: ` = 512 B`, ` failed: ENOENT`.
pub fn push_ending(out: &mut String, call: CallId, result: i64) {
    match u64::try_from(result) {
        Ok(count) => {
            out.push_str(" = ");
            push_count(out, call, count);
        }
        Err(_) => {
            let number = result.unsigned_abs();
            out.push_str(" failed: ");
            match errno::name(number) {
                Some(name) => out.push_str(name),
                None => out.push_str(&errno::shown(number)),
            }
        }
    }
}

/// The same.
#[must_use]
pub fn ending(call: CallId, result: i64) -> String {
    let mut out = String::new();
    push_ending(&mut out, call, result);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_what_their_call_returns() {
        let cases = [
            (CallId::READ, 512, " = 512 B"),
            (CallId::READ, -11, " failed: EAGAIN"),
            (CallId::READ, -4095, " failed: errno 4095"),
            (CallId::FUTEX_WAKE, 2, " = 2 woken"),
            (CallId::PTHREAD_MUTEX_UNLOCK, 0, " = ok"),
            (CallId::OPENAT, 3, " = fd 3"),
            (CallId::NANOSLEEP, 0, " = ok"),
            (CallId::EPOLL_WAIT, 0, " = 0 ready"),
            (CallId(250), 7, " = 7"),
        ];
        for (call, value, expected) in cases {
            assert_eq!(ending(call, value), expected, "{}", name(call));
        }
        assert_eq!(name(CallId(250)), "call 250");
    }
}
