//! The recorder's own threads: the collector, the writer of dumps, one that ends a part of a trace,
//! and one that resolves names.
//!
//! They are not the program's: recording is suppressed on them from their first instruction to
//! their last, so nothing they do is recorded, and they take none of the program's signals. The
//! code that starts one never has to wait until it runs. That matters in a constructor of a library
//! that is being loaded: the loader's lock is held there, and a new thread of `std` takes that lock
//! before it runs any of our code. So these threads are made by the thread library directly; if
//! they use `std` they may wait for that lock, but no thread waits for them.
//!
//! The library with this code is *pinned* first: it stays loaded when the program unloads it, as
//! threads run its code, and the system calls its functions when threads end, after a fork, and at
//! the exit.
//!
//! May contain `unsafe`: it makes threads.

use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A thread of the recorder. Dropping this lets the thread run on.
#[derive(Debug)]
pub(crate) struct RecorderThread<T> {
    handle: system::Handle,
    result: Arc<Mutex<Option<thread::Result<T>>>>,
}

impl<T: Send + 'static> RecorderThread<T> {
    /// Starts a thread that runs `work`.
    ///
    /// - `name`: the system uses its first 15 bytes.
    ///
    /// # Errors
    /// The system's: there are too many threads, or no memory for a stack.
    pub(crate) fn spawn(
        name: &'static CStr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        pin();
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let work = Box::new(move || {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        });
        let _blocked = crate::sys::signals::Blocked::all();
        Ok(Self { handle: system::spawn(name, work)?, result })
    }

    /// The system's id of the thread; 0 on systems without one.
    pub(crate) fn system_id(&self) -> u32 {
        self.handle.system_id()
    }

    /// Whether it has done its work.
    pub(crate) fn is_done(&self) -> bool {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for its end. Returns its result, or its panic.
    pub(crate) fn join(self) -> thread::Result<T> {
        self.handle.join();
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or_else(|| Err(Box::new("the thread was ended from outside")))
    }
}

/// The begin of the program or library that contains this address; 0 if it is not known.
#[cfg(all(os_hooks, not(target_feature = "crt-static")))]
pub(crate) fn module_at(address: *const std::ffi::c_void) -> usize {
    system::module_of(address).map_or(0, |info| info.dli_fbase.addr())
}

/// A static program is a single module.
#[cfg(all(os_hooks, target_feature = "crt-static"))]
pub(crate) fn module_at(_: *const std::ffi::c_void) -> usize {
    0
}

/// Keeps the library with this code loaded as long as the process lives.
fn pin() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(system::pin);
}

#[cfg(unix)]
mod system {
    use crate::thread::local;
    #[cfg(all(feature = "sched", stacks))]
    use crate::thread::own_threads::OWN_THREADS;
    use std::ffi::{CStr, c_void};
    use std::io;
    use std::mem::{ManuallyDrop, MaybeUninit};
    use std::ptr;

    /// As large as those of `std`'s threads, as the user's writer runs there.
    const STACK_BYTES: usize = 2 << 20;

    /// The argument of a new thread.
    struct ThreadStart {
        name: &'static CStr,
        work: Box<dyn FnOnce() + Send>,
    }

    /// A thread that was neither joined nor detached.
    #[derive(Debug)]
    pub(super) struct Handle(libc::pthread_t);

    // SAFETY: `Send` wants that another thread may use it: any thread may join or detach one.
    unsafe impl Send for Handle {}

    pub(super) fn spawn(name: &'static CStr, work: Box<dyn FnOnce() + Send>) -> io::Result<Handle> {
        #[cfg(all(feature = "sched", stacks))]
        OWN_THREADS.start();
        let start = Box::into_raw(Box::new(ThreadStart { name, work }));
        let mut failed = create(start, Some(STACK_BYTES));
        if let Err(libc::EINVAL) = failed {
            // The program's thread-locals need a larger stack.
            failed = create(start, None);
        }
        failed.map(Handle).map_err(|error| {
            #[cfg(all(feature = "sched", stacks))]
            OWN_THREADS.not_started();
            // SAFETY: `from_raw` wants the pointer of `into_raw`, once: there is no thread.
            drop(unsafe { Box::from_raw(start) });
            io::Error::from_raw_os_error(error)
        })
    }

    /// Makes a thread. Returns its handle, or an error's number.
    fn create(start: *mut ThreadStart, stack_bytes: Option<usize>) -> Result<libc::pthread_t, i32> {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::zeroed();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `pthread_attr_init` wants a place for attributes.
        let failed = unsafe { libc::pthread_attr_init(attributes) };
        if failed != 0 {
            return Err(failed);
        }
        if let Some(bytes) = stack_bytes {
            // SAFETY: `pthread_attr_setstacksize` wants attributes.
            unsafe { libc::pthread_attr_setstacksize(attributes, bytes) };
        }
        let mut handle = MaybeUninit::zeroed();
        // SAFETY: `pthread_create` wants a place for the handle, attributes, and a function that
        // may be called with the argument: `enter`, which owns its argument from then on.
        let failed =
            unsafe { libc::pthread_create(handle.as_mut_ptr(), attributes, enter, start.cast()) };
        // SAFETY: `pthread_attr_destroy` wants attributes that are not used any more.
        unsafe { libc::pthread_attr_destroy(attributes) };
        if failed != 0 {
            return Err(failed);
        }
        // SAFETY: `pthread_create` has written it.
        Ok(unsafe { handle.assume_init() })
    }

    extern "C" fn enter(start: *mut c_void) -> *mut c_void {
        // Never ended: what the thread frees when it ends is not the program's either.
        let _suppressed = ManuallyDrop::new(local::suppress());
        #[cfg(all(feature = "sched", stacks))]
        let _listed = OWN_THREADS.list(local::system_id() as u32);
        // SAFETY: `from_raw` wants the pointer of `into_raw`, once: `spawn` has made it for this
        // thread.
        let ThreadStart { name, work } = *unsafe { Box::from_raw(start.cast::<ThreadStart>()) };
        set_name(name);
        work();
        ptr::null_mut()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_name(name: &CStr) {
        // SAFETY: `pthread_self` takes nothing and cannot fail.
        let own = unsafe { libc::pthread_self() };
        // SAFETY: `pthread_setname_np` wants a thread and a string.
        unsafe { libc::pthread_setname_np(own, name.as_ptr()) };
    }

    #[cfg(target_vendor = "apple")]
    fn set_name(name: &CStr) {
        // SAFETY: `pthread_setname_np` wants a string.
        unsafe { libc::pthread_setname_np(name.as_ptr()) };
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn set_name(_: &CStr) {}

    impl Handle {
        pub(super) fn join(self) {
            let this = ManuallyDrop::new(self);
            // SAFETY: `pthread_join` wants a thread that is neither joined nor detached: `self` is
            // consumed, and not dropped, which would detach it.
            unsafe { libc::pthread_join(this.0, ptr::null_mut()) };
        }

        #[cfg(target_os = "linux")]
        pub(super) fn system_id(&self) -> u32 {
            let mut clock = 0;
            // SAFETY: `pthread_getcpuclockid` wants a handle that is neither joined nor detached,
            // and a place for a number.
            let failed = unsafe { libc::pthread_getcpuclockid(self.0, &raw mut clock) };
            // The kernel's number of a thread's clock is the inverted id, above three bits.
            if failed == 0 { !(clock >> 3) as u32 } else { 0 }
        }

        #[cfg(not(target_os = "linux"))]
        pub(super) fn system_id(&self) -> u32 {
            0
        }
    }

    impl Drop for Handle {
        fn drop(&mut self) {
            // SAFETY: `pthread_detach` wants a thread that is neither joined nor detached.
            unsafe { libc::pthread_detach(self.0) };
        }
    }

    /// In a static program there is no loader; musl's never unloads.
    #[cfg(target_feature = "crt-static")]
    pub(super) fn pin() {}

    #[cfg(not(target_feature = "crt-static"))]
    pub(super) fn pin() {
        // The program itself is never unloaded, and its name may not be a file's.
        #[cfg(target_os = "linux")]
        if is_program() {
            return;
        }
        if let Some(info) = module_of(enter as *const () as *const c_void) {
            let mode = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            // SAFETY: `dlopen` wants a string: the loader's own name of a library that is loaded,
            // whose constructors do not run again. This adds a use of it that is never given up.
            unsafe { libc::dlopen(info.dli_fname, mode) };
        }
    }

    #[cfg(not(target_feature = "crt-static"))]
    pub(super) fn module_of(address: *const c_void) -> Option<libc::Dl_info> {
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: `dladdr` wants any address, and a place for its result.
        let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
        // SAFETY: it was zeroed, which is a valid value.
        let info = unsafe { info.assume_init() };
        (found != 0 && !info.dli_fname.is_null()).then_some(info)
    }

    /// Whether this code is part of the program itself, and not of a library.
    #[cfg(all(target_os = "linux", not(target_feature = "crt-static")))]
    fn is_program() -> bool {
        // SAFETY: `getauxval` takes a number.
        let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
        let program = module_of(ptr::with_exposed_provenance(headers as usize));
        let own = module_of(enter as *const () as *const c_void);
        matches!((program, own), (Some(a), Some(b)) if a.dli_fbase == b.dli_fbase)
    }
}

#[cfg(not(unix))]
mod system {
    use crate::thread::local;
    use std::ffi::CStr;
    use std::io;
    use std::mem::ManuallyDrop;
    use std::thread::JoinHandle;

    #[derive(Debug)]
    pub(super) struct Handle(JoinHandle<()>);

    pub(super) fn spawn(name: &'static CStr, work: Box<dyn FnOnce() + Send>) -> io::Result<Handle> {
        let work = move || {
            let _suppressed = ManuallyDrop::new(local::suppress());
            work();
        };
        let name = name.to_string_lossy().into_owned();
        std::thread::Builder::new().name(name).spawn(work).map(Handle)
    }

    impl Handle {
        pub(super) fn join(self) {
            // The result is in `RecorderThread::result`.
            let _ = self.0.join();
        }

        pub(super) fn system_id(&self) -> u32 {
            0
        }
    }

    /// No library is pinned here.
    pub(super) fn pin() {}
}
