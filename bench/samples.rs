//! Samples and their statistics.

/// Samples in nanoseconds, bytes or answers a second, grouped by round.
#[derive(Clone, Default)]
pub struct Samples {
    sorted: Vec<f64>,
    /// The median of each round.
    rounds: Vec<f64>,
    /// The mean of each round.
    means: Vec<f64>,
}

impl Samples {
    /// Sorts the measured values.
    pub fn new(rounds: &[Vec<f64>]) -> Self {
        let medians = rounds.iter().map(|round| quantile(&sorted(round.clone()), 1, 2)).collect();
        let means = rounds.iter().map(|round| mean(round)).collect();
        Self { sorted: sorted(rounds.concat()), rounds: medians, means }
    }

    /// The rate of each round per second, with so many clients at once.
    pub fn per_second(&self, by: u32) -> Self {
        let rounds: Vec<_> =
            self.means.iter().map(|mean| vec![f64::from(by) * 1e9 / mean]).collect();
        Self::new(&rounds)
    }

    /// The median of all.
    pub fn median(&self) -> f64 {
        quantile(&self.sorted, 1, 2)
    }

    /// The 99th percentile of all.
    pub fn p99(&self) -> f64 {
        quantile(&self.sorted, 99, 100)
    }

    /// The median of each round's ratio to the same round of the floor: a disturbance affects both
    /// sides of a round.
    pub fn ratio_by_round(&self, floor: &Self) -> f64 {
        let ratios = self.rounds.iter().zip(&floor.rounds).map(|(ours, floor)| ours / floor);
        quantile(&sorted(ratios.collect()), 1, 2)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are thousands of samples, not 2^52")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn quantile(sorted: &[f64], numerator: usize, denominator: usize) -> f64 {
    sorted.get(sorted.len() * numerator / denominator).copied().unwrap_or(f64::NAN)
}
