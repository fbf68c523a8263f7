//! How noisy the machine is: figures from a busy machine are worth little.

use std::fmt;
use std::time::{Duration, Instant};

/// What is known about the machine during the measurements.
pub struct Noise {
    load: String,
    cores: usize,
    /// The longest and the median time that a fixed piece of work took.
    worst: Duration,
    median: Duration,
}

impl fmt::Display for Noise {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self.worst.as_secs_f64() / self.median.as_secs_f64();
        write!(
            out,
            "{} cores, load {}; the same work takes {:.0} µs, at worst {times:.1} times as long",
            self.cores,
            self.load,
            self.median.as_secs_f64() * 1e6,
        )
    }
}

/// Observes the machine for a quarter of a second.
pub fn noise() -> Noise {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let mut times: Vec<Duration> = (0..500).map(|_| fixed_work()).collect();
    times.sort_unstable();
    Noise {
        load,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        worst: times.last().copied().unwrap_or_default(),
        median: times.get(times.len() / 2).copied().unwrap_or(Duration::from_nanos(1)),
    }
}

fn fixed_work() -> Duration {
    let begun = Instant::now();
    let sum = (0..400_000u64).fold(0u64, |sum, next| std::hint::black_box(sum ^ next));
    std::hint::black_box(sum);
    begun.elapsed()
}
