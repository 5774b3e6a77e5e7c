//! Counters of one wire: answers by class and by duration, bytes, handlers under way.

/// Classes of durations.
pub const LATENCY_BUCKETS: usize = 32;
/// Added to every duration, so that none is too short for the first class that is used.
const MICROSECOND: f64 = 1e-6;
/// The binary exponent of the first class; a duration in it is below 2 to the power of this, in seconds.
const FIRST_EXPONENT: i64 = -20;

/// Counters of one wire, since it was made.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// On its connections.
    pub bytes_received: u64,
    /// On its connections.
    pub bytes_sent: u64,
    /// Requests whose handler waits or runs in a thread.
    pub in_flight: u64,
    latency: [u64; LATENCY_BUCKETS],
    /// Answers by class, but for 2xx; index 0 counts those outside 100 to 599.
    exceptions: [u64; 6],
}

impl Statistics {
    /// Count one answer.
    pub fn count(&mut self, status: u16, duration_s: f64) {
        // A double is a fraction from 1/2 up to 1, times 2 to the power of its exponent bits less 1022.
        let exponent = ((duration_s + MICROSECOND).to_bits() >> 52 & 0x7FF) as i64 - 1022;
        self.latency[(exponent - FIRST_EXPONENT).clamp(0, LATENCY_BUCKETS as i64 - 1) as usize] += 1;
        if !(200..300).contains(&status) {
            self.exceptions[if (100..600).contains(&status) { status as usize / 100 } else { 0 }] += 1;
        }
    }

    /// Answers begun, refusals included.
    pub fn requests(&self) -> u64 {
        self.latency.iter().sum()
    }

    /// Answers by class; 2xx is what the exceptions leave, so that the usual answer costs one counter.
    pub fn statuses(&self) -> [u64; 6] {
        let mut by_class = self.exceptions;
        by_class[2] = self.requests() - self.exceptions.iter().sum::<u64>();
        by_class
    }

    /// Answers by duration: index n counts those of 2**(n-21) up to 2**(n-20) seconds, the last also longer
    /// ones.
    pub const fn latency(&self) -> &[u64; LATENCY_BUCKETS] {
        &self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(duration_s: f64) -> usize {
        let mut statistics = Statistics::default();
        statistics.count(200, duration_s);
        statistics.latency().iter().position(|&count| count == 1).unwrap()
    }

    #[test]
    fn durations_are_counted_by_their_binary_exponent() {
        assert_eq!(1, bucket(0.0));
        for n in 2..31_i32 {
            let start = 2.0_f64.powi(n - 21);
            assert_eq!(n as usize, bucket(start - 1e-6), "{n}");
            assert_eq!(n as usize - 1, bucket(start * 0.999 - 1e-6), "{n}");
        }
        assert_eq!(31, bucket(1024.0));
        assert_eq!(31, bucket(1e12));
    }

    #[test]
    fn statuses_are_counted_by_class() {
        let mut statistics = Statistics::default();
        for status in [99, 100, 199, 200, 204, 299, 300, 404, 404, 500, 599, 600, 999] {
            statistics.count(status, 0.1);
        }

        assert_eq!([3, 2, 3, 1, 2, 2], statistics.statuses());
        assert_eq!(13, statistics.requests());
    }
}
