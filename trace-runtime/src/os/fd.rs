//! What descriptors stand for: files, sockets, pipes, by path or peer.
//!
//! The system is asked when a descriptor is first used in a trace. The answer is kept until the
//! descriptor is closed, or a call returns its number as a new one. This takes only system calls
//! and does not allocate, so it works in signal handlers, too.
//!
//! May contain `unsafe`: system calls write to its memory.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicU32, AtomicUsize};
use crate::intern::resources::RESOURCES;
use crate::sys::raw;
use libc::c_int;
use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

/// Every call asks about descriptors from here on anew.
const DESCRIPTORS_MAX: usize = 1 << 16;

/// Longer names of resources are cut. Signal handlers have small stacks: 8 KiB are usual, and the
/// system itself needs half of that.
const NAME_BYTES_MAX: usize = 256;

/// `/proc/self/fd/`, a number, and a zero byte.
const LINK_BYTES_MAX: usize = 32;

/// Kinds of resources on the wire.
pub(super) mod kind {
    pub(in crate::os) const ADDRESS: u64 = 0;
    pub(in crate::os) const FILE: u64 = 1;
    pub(in crate::os) const SOCKET: u64 = 2;
    pub(in crate::os) const PIPE: u64 = 3;
    pub(in crate::os) const EVENT: u64 = 4;
    pub(in crate::os) const POLL: u64 = 5;
    pub(in crate::os) const TIMER: u64 = 6;
    pub(in crate::os) const OTHER: u64 = 7;
    pub(in crate::os) const PROCESS: u64 = 8;
    #[cfg(os_threads)]
    pub(in crate::os) const THREAD: u64 = 9;
    pub(in crate::os) const NUMBER: u64 = 10;
}

/// The resource of each descriptor; 0 for one that has not been asked about.
static KNOWN: [AtomicU32; DESCRIPTORS_MAX] = [const { AtomicU32::new(0) }; DESCRIPTORS_MAX];

/// One more than the greatest descriptor in `KNOWN`.
static KNOWN_END: AtomicUsize = AtomicUsize::new(0);

/// A trace begins: descriptors may have changed while none ran.
pub(super) fn forget_all() {
    let end = KNOWN_END.swap(0, Ordering::Relaxed).min(DESCRIPTORS_MAX);
    KNOWN[..end].iter().for_each(|known| known.store(0, Ordering::Relaxed));
}

/// The descriptor is closed, or a new one.
pub(super) fn forget(descriptor: c_int) {
    if let Some(known) = usize::try_from(descriptor).ok().and_then(|at| KNOWN.get(at)) {
        forget_one(known);
    }
}

fn forget_one(known: &AtomicU32) {
    let resource = known.load(Ordering::Relaxed);
    if resource != 0 {
        known.store(0, Ordering::Relaxed);
        RESOURCES.close(resource);
    }
}

/// Whether this resource, with these words, is remembered for its descriptor, so that a call may
/// use it again.
pub(crate) fn is_known(resource: u32, words: &[u64]) -> bool {
    let descriptor = words.get(1).and_then(|number| KNOWN.get(usize::try_from(*number).ok()?));
    // `SeqCst`: see `ResourceTable::is_live`.
    descriptor.is_some_and(|known| known.load(Ordering::SeqCst) == resource)
}

/// This resource, with these words, was given up: forgets it if it has just been remembered.
pub(crate) fn note_given_up(resource: u32, words: &[u64]) {
    let descriptor = words.get(1).and_then(|number| KNOWN.get(usize::try_from(*number).ok()?));
    if let Some(known) = descriptor {
        _ = known.compare_exchange(resource, 0, Ordering::SeqCst, Ordering::Relaxed);
    }
}

/// As [`forget`], for all from `first` to `last`.
pub(super) fn forget_range(first: u32, last: u32) {
    let end = KNOWN_END.load(Ordering::Relaxed).min(last as usize + 1);
    KNOWN.get(first as usize..end).unwrap_or_default().iter().for_each(forget_one);
}

/// The resource of a descriptor; 0 for none.
pub(super) fn resource(descriptor: c_int) -> u32 {
    let Ok(at) = usize::try_from(descriptor) else { return 0 };
    let Some(known) = KNOWN.get(at) else { return ask(descriptor) };
    let resource = known.load(Ordering::Relaxed);
    if resource != 0 {
        return resource;
    }
    let resource = ask(descriptor);
    // `SeqCst`: see `ResourceTable::is_live`.
    known.store(resource, Ordering::SeqCst);
    if !RESOURCES.is_live(resource) {
        // It was given up meanwhile, or the table was full.
        known.store(0, Ordering::Relaxed);
    }
    KNOWN_END.fetch_max(at + 1, Ordering::Relaxed);
    resource
}

/// A place in memory.
pub(super) fn address(address: usize) -> u32 {
    number(kind::ADDRESS, address as u64)
}

/// A resource that has no name.
pub(super) fn number(kind: u64, value: u64) -> u32 {
    RESOURCES.intern(&[kind, value, 0])
}

/// Asks the system what a descriptor is.
#[cold]
#[inline(never)]
fn ask(descriptor: RawFd) -> u32 {
    let mut name = ResourceName::new();
    if !name.put_link(descriptor) {
        return 0;
    }
    let kind = kind_of(name.as_bytes());
    if kind == kind::SOCKET {
        put_peers(&mut name, descriptor);
    }
    name.intern(kind, descriptor as u64)
}

/// The kind of resource that a link below `/proc/self/fd` names.
fn kind_of(link: &[u8]) -> u64 {
    const KINDS: [(&[u8], u64); 6] = [
        (b"/", kind::FILE),
        (b"socket:", kind::SOCKET),
        (b"pipe:", kind::PIPE),
        (b"anon_inode:[eventfd]", kind::EVENT),
        (b"anon_inode:[eventpoll]", kind::POLL),
        (b"anon_inode:[timerfd]", kind::TIMER),
    ];
    let found = KINDS.iter().find(|(front, _)| link.starts_with(front));
    found.map_or(kind::OTHER, |&(_, kind)| kind)
}

/// A resource on its way into the table: its kind, its value, its name's length and bytes, eight
/// per word. Longer names are cut.
struct ResourceName {
    words: [u64; 3 + NAME_BYTES_MAX / 8],
    len: usize,
}

impl ResourceName {
    fn new() -> Self {
        Self { words: [0; 3 + NAME_BYTES_MAX / 8], len: 0 }
    }

    /// Puts what the descriptor's link says. False if there is no link.
    fn put_link(&mut self, descriptor: RawFd) -> bool {
        let mut path = Digits::new();
        path.put(descriptor.unsigned_abs());
        let place = &raw mut self.words[3];
        let from = path.bytes.as_ptr() as usize;
        let words = [libc::AT_FDCWD as usize, from, place as usize, NAME_BYTES_MAX, 0, 0];
        // SAFETY: `readlinkat` wants a path that ends with a zero byte (a number has ten digits at
        // most), and a place for that many bytes.
        let len = unsafe { raw::bare(libc::SYS_readlinkat, words) };
        self.len = usize::try_from(len).unwrap_or(0).min(NAME_BYTES_MAX);
        len >= 0
    }

    fn as_bytes(&self) -> &[u8] {
        let place = &raw const self.words[3];
        // SAFETY: the words have at least `len` bytes from there on: `len` never exceeds the
        // maximum.
        unsafe { std::slice::from_raw_parts(place.cast(), self.len) }
    }

    fn put(&mut self, byte: u8) {
        if self.len < NAME_BYTES_MAX {
            // On both architectures, a word's first byte is its lowest.
            self.words[3 + self.len / 8] |= u64::from(byte) << (self.len % 8 * 8);
            self.len += 1;
        }
    }

    /// Removes all but the first `len` bytes.
    fn cut(&mut self, len: usize) {
        while self.len > len {
            self.len -= 1;
            self.words[3 + self.len / 8] &= !(0xff << (self.len % 8 * 8));
        }
    }

    fn intern(&mut self, kind: u64, value: u64) -> u32 {
        let [first, second, third, ..] = &mut self.words;
        (*first, *second, *third) = (kind, value, self.len as u64);
        let used = 3 + self.len.div_ceil(8);
        RESOURCES.intern(self.words.get(..used).unwrap_or_default())
    }
}

impl Write for ResourceName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
        Ok(())
    }
}

/// A path that ends with a number, and a zero byte.
struct Digits {
    bytes: [u8; LINK_BYTES_MAX],
    len: usize,
}

impl Digits {
    fn new() -> Self {
        let (mut bytes, front) = ([0; LINK_BYTES_MAX], b"/proc/self/fd/");
        bytes.iter_mut().zip(front).for_each(|(to, from)| *to = *from);
        Self { bytes, len: front.len() }
    }

    fn put(&mut self, number: u32) {
        if number >= 10 {
            self.put(number / 10);
        }
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = b'0' + (number % 10) as u8;
            self.len += 1;
        }
    }
}

/// Replaces the socket's number by `local -> peer`, with the addresses that it has.
#[inline(never)]
fn put_peers(name: &mut ResourceName, descriptor: RawFd) {
    let mut peers = ResourceName::new();
    if let Some(local) = SocketAddress::ask(libc::SYS_getsockname, descriptor) {
        local.put(&mut peers);
    }
    let before = peers.len;
    _ = peers.write_str(" -> ");
    let remote = SocketAddress::ask(libc::SYS_getpeername, descriptor);
    if !remote.is_some_and(|remote| remote.put(&mut peers)) {
        peers.cut(before);
    }
    if peers.len > 0 {
        *name = peers;
    }
}

/// An address of a socket, as the system has it.
struct SocketAddress {
    storage: libc::sockaddr_storage,
    len: usize,
}

impl SocketAddress {
    fn ask(number: libc::c_long, descriptor: RawFd) -> Option<Self> {
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let (place, len_at) = (storage.as_mut_ptr() as usize, (&raw mut len) as usize);
        // SAFETY: both calls want a place for an address, and one for its length, which they read
        // and write.
        let result = unsafe { raw::bare(number, [descriptor as usize, place, len_at, 0, 0, 0]) };
        // SAFETY: all bytes were zeroed, and zeros are a valid address.
        let storage = unsafe { storage.assume_init() };
        (result == 0).then_some(Self { storage, len: len as usize })
    }

    /// Appends the address. False if there was none.
    fn put(&self, name: &mut ResourceName) -> bool {
        let place = &raw const self.storage;
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the storage is as large as any address, aligned for all, initialised, and
                // its family says what kind of address it has.
                let address = unsafe { &*place.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                put_ip(name, SocketAddr::from((ip, u16::from_be(address.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { &*place.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                put_ip(name, SocketAddr::from((ip, u16::from_be(address.sin6_port))))
            }
            libc::AF_UNIX => {
                // SAFETY: as above.
                let address = unsafe { &*place.cast::<libc::sockaddr_un>() };
                put_path(name, address, self.len)
            }
            _ => false,
        }
    }
}

fn put_ip(name: &mut ResourceName, address: SocketAddr) -> bool {
    // Not bound to anything yet.
    let is_set = address.port() != 0 || !address.ip().is_unspecified();
    if is_set {
        _ = write!(name, "{address}");
    }
    is_set
}

/// Appends a path in the file system, or a name in the abstract namespace with an `@` in front.
fn put_path(name: &mut ResourceName, address: &libc::sockaddr_un, len: usize) -> bool {
    let front = std::mem::offset_of!(libc::sockaddr_un, sun_path);
    let bytes = address.sun_path.iter().map(|&byte| byte as u8).take(len.saturating_sub(front));
    let mut some = false;
    for (at, byte) in bytes.enumerate() {
        let byte = match (at, byte) {
            (0, 0) => b'@',
            (_, 0) => break,
            _ => byte,
        };
        some = true;
        name.put(byte);
    }
    some
}
