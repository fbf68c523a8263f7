//! Samples, the table, and the JSON.

use serde_json::json;

/// Samples of one thing, in nanoseconds (or bytes, for memory), sorted.
#[derive(Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    pub fn median(&self) -> f64 {
        self.quantile(1, 2)
    }

    pub fn p99(&self) -> f64 {
        self.quantile(99, 100)
    }

    fn quantile(&self, numerator: usize, denominator: usize) -> f64 {
        self.0.get(self.0.len() * numerator / denominator).copied().unwrap_or(f64::NAN)
    }
}

/// What is compared of two sets of samples.
#[derive(Clone, Copy)]
pub enum Measure {
    /// Times, by their medians.
    Median,
    /// Times, by their 99th percentiles.
    P99,
    /// Bytes added, by the difference of the medians.
    BytesAdded,
}

/// One row of the table.
pub struct Row {
    pub name: String,
    pub ours: Samples,
    pub floor_name: &'static str,
    pub floor: Samples,
    pub measure: Measure,
    /// What the figure is to be at the most.
    pub goal: Option<f64>,
}

impl Row {
    fn figure(&self) -> f64 {
        match self.measure {
            Measure::Median => self.ours.median() / self.floor.median(),
            Measure::P99 => self.ours.p99() / self.floor.p99(),
            Measure::BytesAdded => self.ours.median() - self.floor.median(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            Some(goal) if self.figure() <= goal => "met",
            Some(_) => "MISSED",
            None => "",
        }
    }
}

/// Prints all rows.
pub fn print_table(rows: &[Row]) {
    println!(
        "\n{:<52} {:>10} {:>10} {:>10} {:>10}  {:<28} {:>9} {:>7}",
        "", "median", "p99", "floor", "floor p99", "floor is", "figure", "goal"
    );
    for row in rows {
        let unit = |value: f64| match row.measure {
            Measure::BytesAdded => format!("{:.1} KiB", value / 1024.0),
            _ => format!("{:.2} µs", value / 1000.0),
        };
        let figure = match row.measure {
            Measure::BytesAdded => format!("+{}", unit(row.figure())),
            _ => format!("{:.2}", row.figure()),
        };
        let goal = row.goal.map_or(String::new(), |goal| match row.measure {
            Measure::BytesAdded => unit(goal),
            _ => format!("{goal:.2}"),
        });
        println!(
            "{:<52} {:>10} {:>10} {:>10} {:>10}  {:<28} {:>9} {:>7} {}",
            row.name,
            unit(row.ours.median()),
            unit(row.ours.p99()),
            unit(row.floor.median()),
            unit(row.floor.p99()),
            row.floor_name,
            figure,
            goal,
            row.verdict(),
        );
    }
}

/// Writes all rows to a file.
pub fn write_json(rows: &[Row], noise: &dyn std::fmt::Display, path: &str) -> Result<(), String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "row": row.name,
                "median": row.ours.median(),
                "p99": row.ours.p99(),
                "floor": row.floor_name,
                "floor_median": row.floor.median(),
                "floor_p99": row.floor.p99(),
                "figure": row.figure(),
                "goal": row.goal,
            })
        })
        .collect();
    let text = json!({ "machine": noise.to_string(), "unit": "ns, or bytes", "rows": rows });
    std::fs::write(path, format!("{text:#}\n")).map_err(|error| format!("{path}: {error}"))
}
