//! What the server spends on whom: so that no asker takes from others more than the time of its own answers.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    time::Instant,
};

/// Queries in a second that an asker gets answers for, and as many at once; the rest is dropped, as a full queue would.
const RATE: f64 = 2_000.0;
/// Queries of an asker, and of all, that others are asked for at a time.
const PENDING: usize = 64;
const PENDING_OF_ALL: usize = 512;
/// Connections of an asker, and of all.
const CONNECTIONS: usize = 16;
const CONNECTIONS_OF_ALL: usize = 256;

/// What is bounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A query that others are asked for.
    Pending,
    /// A connection.
    Connection,
}

impl Kind {
    /// How many for one asker, and for all.
    const fn most(self) -> (usize, usize) {
        match self {
            Self::Pending => (PENDING, PENDING_OF_ALL),
            Self::Connection => (CONNECTIONS, CONNECTIONS_OF_ALL),
        }
    }
}

/// What each asker has at the moment. Askers are endpoints: there are not more of them than the table has.
#[derive(Debug, Default)]
pub(super) struct Limits {
    askers: RefCell<HashMap<IpAddr, Asker>>,
    all: [Cell<usize>; 2],
}

#[derive(Debug)]
struct Asker {
    /// Queries that are left, at a time.
    left: f64,
    at: Instant,
    taken: [usize; 2],
}

impl Limits {
    /// Whether a query of this asker is answered now.
    pub(super) fn admits(&self, asker: IpAddr, now: Instant) -> bool {
        let mut askers = self.askers.borrow_mut();
        let known = askers.entry(asker).or_insert_with(|| Asker { left: RATE, at: now, taken: [0; 2] });
        let since = now.saturating_duration_since(known.at).as_secs_f64();
        (known.left, known.at) = ((known.left + since * RATE).min(RATE), now);
        let admitted = known.left >= 1.0;
        if admitted {
            known.left -= 1.0;
        }
        admitted
    }

    /// One more of a kind, until it is dropped; none where there are enough.
    pub(super) fn take(self: &Rc<Self>, kind: Kind, asker: IpAddr) -> Option<Taken> {
        let (most, most_of_all) = kind.most();
        let of_all = &self.all[kind as usize];
        let mut askers = self.askers.borrow_mut();
        let known = askers.entry(asker).or_insert_with(|| Asker { left: RATE, at: Instant::now(), taken: [0; 2] });
        let taken = &mut known.taken[kind as usize];
        if *taken >= most || of_all.get() >= most_of_all {
            return None;
        }
        *taken += 1;
        of_all.set(of_all.get() + 1);
        Some(Taken { limits: Rc::clone(self), kind, asker })
    }

    /// Forgets who asks no more.
    pub(super) fn keep(&self, is_asker: impl Fn(IpAddr) -> bool) {
        self.askers.borrow_mut().retain(|asker, known| known.taken != [0; 2] || is_asker(*asker));
    }
}

/// Something that was taken, and is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    limits: Rc<Limits>,
    kind: Kind,
    asker: IpAddr,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let of_all = &self.limits.all[self.kind as usize];
        of_all.set(of_all.get().saturating_sub(1));
        if let Some(known) = self.limits.askers.borrow_mut().get_mut(&self.asker) {
            let taken = &mut known.taken[self.kind as usize];
            *taken = taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 77, 0, last])
    }

    #[test]
    fn flood_of_one_leaves_others_their_answers() {
        let (limits, now) = (Limits::default(), Instant::now());
        let admitted = (0..10_000).filter(|_| limits.admits(ip(2), now)).count();
        assert_eq!(admitted, RATE as usize);
        assert!(limits.admits(ip(3), now));
        assert!(limits.admits(ip(2), now + Duration::from_millis(10)), "and soon its own again");
    }

    #[test]
    fn what_is_taken_is_bounded_and_given_back() {
        let limits = Rc::new(Limits::default());
        let mut taken: Vec<Taken> = (0..1_000).filter_map(|_| limits.take(Kind::Pending, ip(2))).collect();
        assert_eq!(taken.len(), PENDING);
        assert!(limits.take(Kind::Connection, ip(2)).is_some(), "another kind");
        taken.extend(
            (3..=50)
                .flat_map(|last| (0..1_000).map(move |_| last))
                .filter_map(|last| limits.take(Kind::Pending, ip(last))),
        );
        assert_eq!(taken.len(), PENDING_OF_ALL);
        taken.clear();
        assert!(limits.take(Kind::Pending, ip(2)).is_some());
        limits.keep(|_| false);
        assert!(limits.askers.borrow().is_empty());
    }
}
