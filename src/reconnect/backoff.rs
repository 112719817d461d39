//! When to try again: without a clock, without chance, without input or output. Whoever calls says what time it is and
//! throws the dice.

use std::time::{Duration, Instant};

use super::{Next, Stop};

/// What was chosen about waiting and giving up.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) first_delay: Duration,
    pub(super) max_delay: Duration,
    pub(super) stable_after: Duration,
    pub(super) max_attempts: Option<u32>,
    pub(super) give_up_after: Option<Duration>,
}

/// How often it was tried in a row, and since when.
#[derive(Debug)]
pub(super) struct Backoff {
    limits: Limits,
    attempts: u32,
    down_since: Instant,
}

impl Backoff {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            attempts: 0,
            down_since: now,
        }
    }

    /// Counts an attempt that begins: 1 is the first in a row.
    pub(super) fn begin(&mut self) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }

    /// How many attempts in a row came to nothing that lasts.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Notes that a connection has ended now. Only one that has stayed up for some time starts the count anew: else a
    /// server that accepts and drops would be tried without a pause.
    pub(super) fn ended(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= self.limits.stable_after {
            self.attempts = 0;
            self.down_since = now;
        }
    }

    /// Decides what follows the last attempt or connection, now that it is over. `at_least` is what the server asks
    /// for; `chance` is random, all of its bits.
    pub(super) fn next(&self, now: Instant, at_least: Duration, chance: u32) -> Next {
        if self
            .limits
            .max_attempts
            .is_some_and(|max| self.attempts >= max)
        {
            return Next::Stop(Stop::Attempts);
        }
        // What the server asks for is the same for all that it has sent away: the share of chance comes on top, or
        // they would all be back at once.
        let asked = at_least.min(self.limits.max_delay.saturating_mul(MAX_ASKED));
        let delay = asked.saturating_add(part_of(self.longest(), chance));
        let down = now.saturating_duration_since(self.down_since);
        let is_too_late = |limit| down.saturating_add(delay) > limit;
        if self.limits.give_up_after.is_some_and(is_too_late) {
            return Next::Stop(Stop::Time);
        }
        Next::Retry(delay)
    }

    /// The longest that chance may come to: it doubles with each attempt.
    fn longest(&self) -> Duration {
        let doubled = 2u32.checked_pow(self.attempts.saturating_sub(1));
        doubled
            .and_then(|factor| self.limits.first_delay.checked_mul(factor))
            .map_or(self.limits.max_delay, |delay| {
                delay.min(self.limits.max_delay)
            })
    }
}

/// Any part of a duration, evenly from nothing to just below all of it.
fn part_of(duration: Duration, chance: u32) -> Duration {
    // A duration has 94 bits of nanoseconds at the most.
    let nanos = (duration.as_nanos() * u128::from(chance)) >> u32::BITS;
    let (secs, rest) = (nanos / NANOS, nanos % NANOS);
    Duration::new(
        u64::try_from(secs).unwrap_or(u64::MAX),
        u32::try_from(rest).unwrap_or_default(),
    )
}

/// A server may ask for a pause of so many times the longest delay.
const MAX_ASKED: u32 = 10;

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits {
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            max_attempts: None,
            give_up_after: None,
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// The delay if chance has it as long as it may be.
    fn longest(backoff: &Backoff, now: Instant) -> Duration {
        match backoff.next(now, Duration::ZERO, u32::MAX) {
            // The last nanosecond that chance never gives.
            Next::Retry(delay) => secs((delay.as_secs_f64() + 1e-6) as u64),
            next => panic!("{next:?}"),
        }
    }

    #[test]
    fn the_longest_delay_doubles_with_each_attempt_up_to_the_cap() {
        let now = Instant::now();
        let mut backoff = Backoff::new(limits(), now);
        let delays: Vec<_> = (0..8)
            .map(|_| {
                backoff.begin();
                longest(&backoff, now).as_secs()
            })
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_connection_that_was_only_opened_does_not_start_the_count_anew() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(limits(), now);
        for attempt in 1..=6 {
            assert_eq!(backoff.begin(), attempt);
            let opened = now;
            now += secs(9);
            backoff.ended(opened, now);
        }
        assert_eq!(longest(&backoff, now), secs(30));
        assert_eq!(backoff.begin(), 7);
        let opened = now;
        now += secs(10);
        backoff.ended(opened, now);
        assert_eq!(longest(&backoff, now), secs(1));
        assert_eq!(backoff.begin(), 1);
    }

    #[test]
    fn attempts_in_a_row_are_limited() {
        let now = Instant::now();
        let mut backoff = Backoff::new(limits(), now);
        backoff.limits.max_attempts = Some(2);
        backoff.begin();
        assert!(matches!(
            backoff.next(now, Duration::ZERO, 0),
            Next::Retry(_)
        ));
        backoff.begin();
        assert_eq!(
            backoff.next(now, Duration::ZERO, 0),
            Next::Stop(Stop::Attempts)
        );
        backoff.ended(now, now + secs(10));
        assert!(matches!(
            backoff.next(now, Duration::ZERO, 0),
            Next::Retry(_)
        ));
    }

    #[test]
    fn no_attempt_begins_after_the_time_is_over() {
        let start = Instant::now();
        let mut backoff = Backoff::new(limits(), start);
        backoff.limits.give_up_after = Some(secs(60));
        backoff.begin();
        let asked = |at: u64| backoff.next(start + secs(at), secs(20), 0);
        assert_eq!(asked(40), Next::Retry(secs(20)));
        assert_eq!(asked(41), Next::Stop(Stop::Time));
        backoff.ended(start, start + secs(41));
        assert_eq!(
            backoff.next(start + secs(81), secs(20), 0),
            Next::Retry(secs(20)),
            "the time begins anew where a connection that lasted has ended"
        );
    }

    #[test]
    fn what_the_server_asks_for_is_waited_for_up_to_ten_times_the_longest_delay() {
        let now = Instant::now();
        let mut backoff = Backoff::new(limits(), now);
        backoff.begin();
        assert_eq!(backoff.next(now, secs(7), 0), Next::Retry(secs(7)));
        assert_eq!(
            backoff.next(now, secs(7), 1 << 31),
            Next::Retry(secs(7) + Duration::from_millis(500))
        );
        assert_eq!(backoff.next(now, Duration::MAX, 0), Next::Retry(secs(300)));
    }

    fn duration() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    proptest! {
        /// Also where all that can be multiplied overflows.
        #[test]
        fn delays_keep_their_bounds_at_any_attempt(
            first_delay in duration(),
            max_delay in duration(),
            attempts in prop_oneof![0u32..100, Just(1 << 31), Just(u32::MAX), any::<u32>()],
            at_least in duration(),
            chance in any::<u32>(),
        ) {
            let now = Instant::now();
            let limits = Limits { first_delay, max_delay, ..limits() };
            let mut backoff = Backoff::new(limits, now);
            backoff.attempts = attempts;
            let asked = at_least.min(max_delay.saturating_mul(10));
            let Next::Retry(delay) = backoff.next(now, at_least, chance) else {
                panic!("nothing limits it");
            };
            prop_assert!(delay >= asked);
            prop_assert!(delay - asked <= max_delay);
            if attempts <= 1 {
                prop_assert!(delay - asked <= first_delay);
            }
            // More chance, and one attempt more, never make it shorter.
            let Next::Retry(more) = backoff.next(now, at_least, chance.saturating_add(1)) else {
                panic!("nothing limits it");
            };
            prop_assert!(more >= delay);
            backoff.begin();
            prop_assert!(backoff.attempts() >= attempts);
            let Next::Retry(later) = backoff.next(now, at_least, chance) else {
                panic!("nothing limits it");
            };
            prop_assert!(later >= delay);
        }

        /// Full jitter: the share is chance's own.
        #[test]
        fn chance_is_spread_evenly(chance in any::<u32>()) {
            let share = part_of(secs(1 << 32), chance);
            prop_assert_eq!(share, secs(u64::from(chance)));
        }
    }
}
