//! What the result of a call says in a trace: bytes, a count, or an error.

use libc::c_int;

/// What a function's result says: bytes, a count, or how it failed.
pub(super) trait CallResult: Copy {
    /// The result as the trace has it: an error is its negative number.
    fn outcome(self, errno: c_int) -> i64;
}

macro_rules! outcomes {
    ($($type:ty),*) => {
        $(impl CallResult for $type {
            #[inline(always)]
            fn outcome(self, errno: c_int) -> i64 {
                if self == -1 { -i64::from(errno) } else { self as i64 }
            }
        })*
    };
}

outcomes!(i32, i64, isize);

/// As of `opendir`.
impl<T> CallResult for *mut T {
    fn outcome(self, errno: c_int) -> i64 {
        if self.is_null() { -i64::from(errno) } else { 0 }
    }
}

/// As of `sleep`.
impl CallResult for u32 {
    fn outcome(self, _: c_int) -> i64 {
        i64::from(self)
    }
}

/// The result of functions that return an error's number and do not set `errno`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct ReturnedErrno(pub(super) c_int);

impl CallResult for ReturnedErrno {
    fn outcome(self, _: c_int) -> i64 {
        -i64::from(self.0)
    }
}
