//! Every way to wait that std, parking_lot, crossbeam-channel and tokio have, each provoked once: a
//! thread waits, and another one ends the wait after [`HOLD`].
//!
//! A trace must name the functions `wait_*` and `wake_*`; none is inlined, and each notes the line
//! on which it waits.
//!
//! Long, because it is one list of cases.

use crate::waiting::{os_thread, wait_until, wait_until_asleep};
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Minimum time that each thread waits.
pub(crate) const HOLD: Duration = Duration::from_millis(50);

/// One way to wait, and what a trace must say about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The name of the waiting thread; the waking one is `name/waker`.
    pub(crate) name: &'static str,
    /// The reason that the tool must give.
    pub(crate) reason: &'static str,
    /// The function that waits; its line is noted as it runs.
    pub(crate) waits_in: &'static str,
    pub(crate) line: u32,
    /// How long the wait took, measured by the waiting thread.
    pub(crate) took: Duration,
    /// The function that ends the wait; `None` if only time or the kernel does.
    pub(crate) wakes_in: Option<&'static str>,
}

/// Waits, and notes the line and the duration.
macro_rules! here {
    ($wait:expr) => {{
        LINE.store(line!(), Ordering::Relaxed);
        let begin = Instant::now();
        let result = $wait;
        TOOK.store(begin.elapsed().as_micros() as u32, Ordering::Relaxed);
        result
    }};
}

/// Runs `wait` on a thread of this name, and `wake` after a while on another.
fn pair(name: &'static str, wait: impl FnOnce() + Send, wake: impl FnOnce(&thread::Thread) + Send) {
    WAITER.store(0, Ordering::Relaxed);
    thread::scope(|scope| {
        let named = |name: String| thread::Builder::new().name(name);
        let waiter = named(name.to_owned()).spawn_scoped(scope, noted(wait));
        let waiter = waiter.expect("a thread starts");
        let thread = waiter.thread().clone();
        let waker = named(format!("{name}/waker"));
        let wake = move || {
            let_it_wait();
            wake(&thread);
        };
        waker.spawn_scoped(scope, wake).expect("a thread starts");
    });
}

/// Runs `hold`, and when that calls its argument, `wait` on a thread of this name.
fn held(name: &'static str, hold: impl FnOnce(&dyn Fn()) + Send, wait: impl FnOnce() + Send) {
    let (held, is_held) = mpsc::channel();
    WAITER.store(0, Ordering::Relaxed);
    thread::scope(|scope| {
        let named = |name: String| thread::Builder::new().name(name);
        let hold = move || hold(&|| held.send(()).expect("it is waited for"));
        named(format!("{name}/waker")).spawn_scoped(scope, hold).expect("a thread starts");
        is_held.recv().expect("it is held");
        named(name.to_owned()).spawn_scoped(scope, noted(wait)).expect("a thread starts");
    });
}

/// The thread that is to wait; 0 before it runs.
static WAITER: AtomicI32 = AtomicI32::new(0);

/// Wraps `wait`, so that its thread is noted in [`WAITER`].
fn noted(wait: impl FnOnce() + Send) -> impl FnOnce() + Send {
    move || {
        WAITER.store(os_thread(), Ordering::Relaxed);
        wait();
    }
}

/// Returns after that thread has waited for [`HOLD`].
fn let_it_wait() {
    wait_until("the waiter runs", || WAITER.load(Ordering::Relaxed) != 0);
    wait_until_asleep(WAITER.load(Ordering::Relaxed));
    thread::sleep(HOLD);
}

static LINE: AtomicU32 = AtomicU32::new(0);
/// How long the last wait took, in microseconds.
static TOOK: AtomicU32 = AtomicU32::new(0);

fn case(
    name: &'static str,
    reason: &'static str,
    waits_in: &'static str,
    wakes_in: Option<&'static str>,
) -> Case {
    let took = Duration::from_micros(TOOK.load(Ordering::Relaxed).into());
    Case { name, reason, waits_in, line: LINE.load(Ordering::Relaxed), took, wakes_in }
}

/// Provokes std's ways to wait.
pub(crate) fn of_std() -> Vec<Case> {
    vec![
        mutex(),
        rwlock_read(),
        rwlock_write(),
        condvar(),
        channel_receive(),
        channel_send(),
        park(),
        barrier(),
        once(),
        join(),
        sleep(),
        socket_read(),
        pipe_read(),
        process_wait(),
    ]
}

fn mutex() -> Case {
    let lock = Mutex::new(());
    #[inline(never)]
    fn wait_mutex(lock: &Mutex<()>) {
        drop(here!(lock.lock()));
    }
    #[inline(never)]
    fn wake_mutex(guard: std::sync::MutexGuard<'_, ()>) {
        drop(guard);
    }
    let hold = |held: &dyn Fn()| {
        let guard = lock.lock().expect("nobody panics");
        held();
        let_it_wait();
        wake_mutex(guard);
    };
    held("mutex", hold, || wait_mutex(&lock));
    case("mutex", "mutex", "wait_mutex", Some("wake_mutex"))
}

fn rwlock_read() -> Case {
    let lock = RwLock::new(());
    #[inline(never)]
    fn wait_read(lock: &RwLock<()>) {
        drop(here!(lock.read()));
    }
    #[inline(never)]
    fn wake_read(guard: std::sync::RwLockWriteGuard<'_, ()>) {
        drop(guard);
    }
    let hold = |held: &dyn Fn()| {
        let guard = lock.write().expect("nobody panics");
        held();
        let_it_wait();
        wake_read(guard);
    };
    held("rwlock read", hold, || wait_read(&lock));
    case("rwlock read", "rwlock read", "wait_read", Some("wake_read"))
}

fn rwlock_write() -> Case {
    let lock = RwLock::new(());
    #[inline(never)]
    fn wait_write(lock: &RwLock<()>) {
        drop(here!(lock.write()));
    }
    #[inline(never)]
    fn wake_write(guard: std::sync::RwLockReadGuard<'_, ()>) {
        drop(guard);
    }
    let hold = |held: &dyn Fn()| {
        let guard = lock.read().expect("nobody panics");
        held();
        let_it_wait();
        wake_write(guard);
    };
    held("rwlock write", hold, || wait_write(&lock));
    case("rwlock write", "rwlock write", "wait_write", Some("wake_write"))
}

fn condvar() -> Case {
    let (lock, condition) = (Mutex::new(false), Condvar::new());
    #[inline(never)]
    fn wait_condvar(lock: &Mutex<bool>, condition: &Condvar) {
        let guard = lock.lock().expect("nobody panics");
        drop(here!(condition.wait_while(guard, |done| !*done)));
    }
    #[inline(never)]
    fn wake_condvar(lock: &Mutex<bool>, condition: &Condvar) {
        *lock.lock().expect("nobody panics") = true;
        condition.notify_one();
    }
    pair("condvar", || wait_condvar(&lock, &condition), |_| wake_condvar(&lock, &condition));
    case("condvar", "condvar", "wait_condvar", Some("wake_condvar"))
}

fn channel_receive() -> Case {
    let (sender, receiver) = mpsc::channel();
    #[inline(never)]
    fn wait_receive(receiver: &mpsc::Receiver<u8>) {
        here!(receiver.recv()).expect("something is sent");
    }
    #[inline(never)]
    fn wake_receive(sender: &mpsc::Sender<u8>) {
        sender.send(7).expect("somebody receives");
    }
    pair("receive", move || wait_receive(&receiver), move |_| wake_receive(&sender));
    case("receive", "channel receive", "wait_receive", Some("wake_receive"))
}

fn channel_send() -> Case {
    let (sender, receiver) = mpsc::sync_channel(1);
    #[inline(never)]
    fn wait_send(sender: &mpsc::SyncSender<u8>) {
        sender.send(1).expect("there is room");
        here!(sender.send(2)).expect("somebody receives");
    }
    #[inline(never)]
    fn wake_send(receiver: &mpsc::Receiver<u8>) {
        receiver.recv().expect("something is sent");
    }
    let wake = move |_: &thread::Thread| {
        wake_send(&receiver);
        wake_send(&receiver);
    };
    pair("send", move || wait_send(&sender), wake);
    case("send", "channel send", "wait_send", Some("wake_send"))
}

fn park() -> Case {
    let done = AtomicU32::new(0);
    #[inline(never)]
    fn wait_park(done: &AtomicU32) {
        while done.load(Ordering::Acquire) == 0 {
            here!(thread::park());
        }
    }
    #[inline(never)]
    fn wake_park(thread: &thread::Thread) {
        thread.unpark();
    }
    let wake = |thread: &thread::Thread| {
        done.store(1, Ordering::Release);
        wake_park(thread);
    };
    pair("park", || wait_park(&done), wake);
    case("park", "park", "wait_park", Some("wake_park"))
}

fn barrier() -> Case {
    let barrier = Barrier::new(2);
    #[inline(never)]
    fn wait_barrier(barrier: &Barrier) {
        here!(barrier.wait());
    }
    #[inline(never)]
    fn wake_barrier(barrier: &Barrier) {
        barrier.wait();
    }
    pair("barrier", || wait_barrier(&barrier), |_| wake_barrier(&barrier));
    case("barrier", "barrier", "wait_barrier", Some("wake_barrier"))
}

fn once() -> Case {
    let once = Once::new();
    #[inline(never)]
    fn wait_once(once: &Once) {
        here!(once.call_once(|| {}));
    }
    #[inline(never)]
    fn wake_once(once: &Once, started: &dyn Fn()) {
        once.call_once(|| {
            started();
            let_it_wait();
        });
    }
    held("once", |started| wake_once(&once, started), || wait_once(&once));
    case("once", "once", "wait_once", Some("wake_once"))
}

fn join() -> Case {
    #[inline(never)]
    fn wait_join(thread: thread::JoinHandle<()>) {
        here!(thread.join()).expect("it does not panic");
    }
    let waiter = thread::Builder::new().name("join".to_owned()).spawn(|| {
        let joined = thread::Builder::new().name("join/waker".to_owned());
        WAITER.store(os_thread(), Ordering::Relaxed);
        wait_join(joined.spawn(let_it_wait).expect("a thread starts"));
    });
    waiter.expect("a thread starts").join().expect("it does not panic");
    case("join", "join", "wait_join", None)
}

fn sleep() -> Case {
    #[inline(never)]
    fn wait_sleep() {
        here!(thread::sleep(HOLD));
    }
    let waiter = thread::Builder::new().name("sleep".to_owned()).spawn(wait_sleep);
    waiter.expect("a thread starts").join().expect("it does not panic");
    case("sleep", "sleep", "wait_sleep", None)
}

fn socket_read() -> Case {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut client = std::net::TcpStream::connect(listener.local_addr().expect("it is bound"));
    let (mut server, _) = listener.accept().expect("somebody connects");
    #[inline(never)]
    fn wait_socket(stream: &mut std::net::TcpStream) {
        here!(stream.read_exact(&mut [0])).expect("a byte comes");
    }
    let client = client.as_mut().expect("it is listened to");
    let wake = |_: &thread::Thread| client.write_all(&[7]).expect("it is taken");
    pair("socket", || wait_socket(&mut server), wake);
    case("socket", "socket read", "wait_socket", None)
}

fn pipe_read() -> Case {
    let (mut reader, mut writer) = std::io::pipe().expect("the system makes a pipe");
    #[inline(never)]
    fn wait_pipe(reader: &mut std::io::PipeReader) {
        here!(reader.read_exact(&mut [0])).expect("a byte comes");
    }
    let wake = |_: &thread::Thread| writer.write_all(&[7]).expect("it is taken");
    pair("pipe", || wait_pipe(&mut reader), wake);
    case("pipe", "pipe read", "wait_pipe", None)
}

fn process_wait() -> Case {
    #[inline(never)]
    fn wait_process(child: &mut std::process::Child) {
        here!(child.wait()).expect("a child can be waited for");
    }
    let mut command = std::process::Command::new("cat");
    let child = command.stdin(std::process::Stdio::piped()).spawn();
    let mut child = child.expect("`cat` can be run");
    let input = child.stdin.take().expect("it is piped");
    pair("process", || wait_process(&mut child), |_| drop(input));
    case("process", "process", "wait_process", None)
}

/// Provokes parking_lot's ways to wait.
pub(crate) fn of_parking_lot() -> Vec<Case> {
    let lock = Arc::new(parking_lot::Mutex::new(false));
    #[inline(never)]
    fn wait_parking_lot(lock: &parking_lot::Mutex<bool>) {
        drop(here!(lock.lock()));
    }
    #[inline(never)]
    fn wake_parking_lot(guard: parking_lot::MutexGuard<'_, bool>) {
        drop(guard);
    }
    let hold = |held: &dyn Fn()| {
        let guard = lock.lock();
        held();
        let_it_wait();
        wake_parking_lot(guard);
    };
    held("parking_lot mutex", hold, || wait_parking_lot(&lock));
    let mutex = case("parking_lot mutex", "mutex", "wait_parking_lot", Some("wake_parking_lot"));

    let condition = parking_lot::Condvar::new();
    #[inline(never)]
    fn wait_parking_lot_condvar(lock: &parking_lot::Mutex<bool>, on: &parking_lot::Condvar) {
        let mut done = lock.lock();
        here!(on.wait_while(&mut done, |done| !*done));
    }
    #[inline(never)]
    fn wake_parking_lot_condvar(lock: &parking_lot::Mutex<bool>, on: &parking_lot::Condvar) {
        *lock.lock() = true;
        on.notify_one();
    }
    pair(
        "parking_lot condvar",
        || wait_parking_lot_condvar(&lock, &condition),
        |_| wake_parking_lot_condvar(&lock, &condition),
    );
    let wakes_in = Some("wake_parking_lot_condvar");
    vec![mutex, case("parking_lot condvar", "condvar", "wait_parking_lot_condvar", wakes_in)]
}

/// Provokes crossbeam-channel's ways to wait.
pub(crate) fn of_crossbeam() -> Vec<Case> {
    let (sender, receiver) = crossbeam_channel::bounded::<u8>(0);
    #[inline(never)]
    fn wait_crossbeam(receiver: &crossbeam_channel::Receiver<u8>) {
        here!(receiver.recv()).expect("something is sent");
    }
    #[inline(never)]
    fn wake_crossbeam(sender: &crossbeam_channel::Sender<u8>) {
        sender.send(7).expect("somebody receives");
    }
    pair("crossbeam receive", || wait_crossbeam(&receiver), |_| wake_crossbeam(&sender));
    let wakes_in = Some("wake_crossbeam");
    let receive = case("crossbeam receive", "channel receive", "wait_crossbeam", wakes_in);

    #[inline(never)]
    fn wait_crossbeam_send(sender: &crossbeam_channel::Sender<u8>) {
        here!(sender.send(7)).expect("somebody receives");
    }
    #[inline(never)]
    fn wake_crossbeam_send(receiver: &crossbeam_channel::Receiver<u8>) {
        receiver.recv().expect("something is sent");
    }
    pair("crossbeam send", || wait_crossbeam_send(&sender), |_| wake_crossbeam_send(&receiver));
    let wakes_in = Some("wake_crossbeam_send");
    vec![receive, case("crossbeam send", "channel send", "wait_crossbeam_send", wakes_in)]
}

/// Provokes tokio's ways to wait: a thread that blocks on a future, and one in a blocking receive.
pub(crate) fn of_tokio() -> Vec<Case> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("tokio starts");
    let (sender, receiver) = tokio::sync::oneshot::channel::<u8>();
    #[inline(never)]
    fn wait_tokio(runtime: &tokio::runtime::Runtime, receiver: tokio::sync::oneshot::Receiver<u8>) {
        here!(runtime.block_on(receiver)).expect("something is sent");
    }
    #[inline(never)]
    fn wake_tokio(sender: tokio::sync::oneshot::Sender<u8>) {
        sender.send(7).expect("somebody receives");
    }
    pair("tokio idle", || wait_tokio(&runtime, receiver), |_| wake_tokio(sender));
    let idle = case("tokio idle", "future", "wait_tokio", None);

    let (sender, mut receiver) = tokio::sync::mpsc::channel::<u8>(1);
    #[inline(never)]
    fn wait_tokio_receive(receiver: &mut tokio::sync::mpsc::Receiver<u8>) {
        here!(receiver.blocking_recv()).expect("something is sent");
    }
    #[inline(never)]
    fn wake_tokio_receive(sender: &tokio::sync::mpsc::Sender<u8>) {
        sender.blocking_send(7).expect("somebody receives");
    }
    let wake = |_: &thread::Thread| wake_tokio_receive(&sender);
    pair("tokio receive", move || wait_tokio_receive(&mut receiver), wake);
    let wakes_in = Some("wake_tokio_receive");
    vec![idle, case("tokio receive", "channel receive", "wait_tokio_receive", wakes_in)]
}
