//! Counts wrong tokens by the client's address, so that nobody finds the right one by trying.
//!
//! After too many wrong tokens within a time, requests from that address are rejected until the
//! time is over. Their tokens are not compared: if the right one were accepted meanwhile, guessing
//! could go on. Only that address is rejected, so nobody can lock out clients elsewhere. The owner
//! of an IPv6 network has many addresses, so their first half counts.
//!
//! The table has a limit. Once it is full of addresses that guess (an attack from many addresses),
//! all further addresses that guess count as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of addresses that are counted separately.
const PEERS_MAX: usize = 1_024;

/// Clients that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer {
    V4(Ipv4Addr),
    /// The first half of an IPv6 address.
    V6([u16; 4]),
    /// All clients whose address the router does not know.
    Unknown,
    /// All clients that came when the table was full.
    Newcomer,
}

impl Peer {
    fn new(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// The wrong tokens of one peer.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    since: Instant,
}

/// The result of checking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// It was not compared; ask again after this time.
    TooMany(Duration),
}

/// The peers that sent wrong tokens lately.
#[derive(Debug)]
pub(crate) struct Guesses {
    count_max: u32,
    within: Duration,
    wrong: Mutex<HashMap<Peer, Wrong>>,
}

impl Guesses {
    pub(crate) fn new(count_max: u32, within: Duration) -> Self {
        Self { count_max, within, wrong: Mutex::default() }
    }

    /// Checks a token, unless its sender has sent too many wrong ones.
    ///
    /// - `is_right`: compares the token. It runs under the lock: otherwise many requests at once
    ///   would get more guesses than allowed.
    pub(crate) fn check(
        &self,
        from: Option<IpAddr>,
        now: Instant,
        is_right: impl FnOnce() -> bool,
    ) -> Verdict {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |it: &Wrong| self.within.saturating_sub(now.saturating_duration_since(it.since));
        let mut peer = Peer::new(from);
        if !wrong.contains_key(&peer) && wrong.len() >= PEERS_MAX {
            wrong.retain(|_, it| left(it) > Duration::ZERO);
            if wrong.len() >= PEERS_MAX {
                peer = Peer::Newcomer;
            }
        }
        let before = wrong.get(&peer).filter(|it| left(it) > Duration::ZERO).copied();
        if let Some(before) = before.filter(|it| it.count >= self.count_max) {
            return Verdict::TooMany(left(&before));
        }
        if is_right() {
            return Verdict::Right;
        }
        let before = before.unwrap_or(Wrong { count: 0, since: now });
        wrong.insert(peer, Wrong { count: before.count + 1, ..before });
        Verdict::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn too_many_are_refused_without_comparing_until_the_time_is_over() {
        let (guesses, begin) = (Guesses::new(3, WHILE), Instant::now());
        let peer = address("192.0.2.1");
        let at = |seconds| begin + Duration::from_secs(seconds);
        for second in 0..3 {
            assert_eq!(guesses.check(peer, at(second), || false), Verdict::Wrong);
            assert_eq!(
                guesses.check(peer, at(second), || true),
                if second < 2 { Verdict::Right } else { Verdict::TooMany(Duration::from_secs(58)) }
            );
        }
        let not_compared = || panic!("it is not looked at");
        let left = Verdict::TooMany(Duration::from_secs(1));
        assert_eq!(guesses.check(peer, at(59), not_compared), left);
        assert_eq!(guesses.check(peer, at(60), || false), Verdict::Wrong);
        assert_eq!(guesses.check(peer, at(60), || true), Verdict::Right, "it counts anew");
    }

    #[test]
    fn nobody_is_locked_out_by_another() {
        let (guesses, now) = (Guesses::new(1, WHILE), Instant::now());
        for one in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(guesses.check(address(one), now, || false), Verdict::Wrong);
        }
        for same in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::2"] {
            assert_eq!(guesses.check(address(same), now, || true), Verdict::TooMany(WHILE));
        }
        for other in ["192.0.2.2", "2001:db8:0:1::1", "127.0.0.1"] {
            assert_eq!(guesses.check(address(other), now, || true), Verdict::Right);
        }
        assert_eq!(guesses.check(None, now, || false), Verdict::Wrong);
        assert_eq!(guesses.check(None, now, || true), Verdict::TooMany(WHILE));
    }

    #[test]
    fn many_addresses_take_bounded_room_and_gain_nothing() {
        let (guesses, begin) = (Guesses::new(1, WHILE), Instant::now());
        let mut heard = 0;
        for at in 0..10_000_u32 {
            let peer = Some(IpAddr::from(Ipv4Addr::from(at)));
            heard += u32::from(guesses.check(peer, begin, || false) == Verdict::Wrong);
        }
        assert_eq!(heard as usize, PEERS_MAX + 1);
        let room = || guesses.wrong.lock().expect("no panic").len();
        assert!(room() <= PEERS_MAX + 1, "{}", room());
        let later = begin + WHILE;
        let newcomer = address("198.51.100.1");
        assert_eq!(guesses.check(newcomer, later, || false), Verdict::Wrong);
        assert_eq!(room(), 1, "what is over is forgotten");
    }
}
