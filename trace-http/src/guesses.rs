//! Wrong tokens, counted by who sends them, so that nobody finds the right one by trying.
//!
//! An address that sent too many within a while is refused until that while is over, unheard: were
//! the right token told from a wrong one meanwhile, guessing would go on. Only that address is, so
//! a stranger elsewhere locks nobody out. One whose network is its own has many addresses of IPv6,
//! so their first half counts.
//!
//! The table has a bound. Once it is full of addresses that all guess, which is an attack by
//! many, newcomers that guess count as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are counted apart.
const PEERS_MAX: usize = 1_024;

/// Who counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer {
    V4(Ipv4Addr),
    /// The first half of an address.
    V6([u16; 4]),
    /// A router was not told who asks.
    Unknown,
    /// There is no more room to tell apart.
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

/// What somebody has sent since the first wrong one.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    since: Instant,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// It was not looked at, and will not be for so long.
    TooMany(Duration),
}

/// Who sent wrong tokens lately.
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

    /// Looks at a token, unless whoever sends it has sent too many wrong ones.
    ///
    /// - `is_right`: looks at it. Nobody else's is looked at meanwhile, or many at once would get
    ///   more guesses than there are.
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
    fn too_many_are_refused_unheard_until_the_while_is_over() {
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
        let unheard = || panic!("it is not looked at");
        let left = Verdict::TooMany(Duration::from_secs(1));
        assert_eq!(guesses.check(peer, at(59), unheard), left);
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
