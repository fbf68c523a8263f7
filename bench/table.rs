//! The table: which rows are measured, and how they are printed.

use serde_json::{Value, json};

use crate::samples::Samples;
use crate::sides::Sides;

/// Figures from this on are printed without a fraction.
const ROUND_FROM: f64 = 1000.0;

/// The unit of samples.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Nanoseconds,
    Bytes,
    PerSecond,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "µs",
            Self::Bytes => "KiB",
            Self::PerSecond => "answers a second",
        }
    }
}

/// The goal of a row: the greatest allowed value.
#[derive(Clone, Copy)]
pub enum Goal {
    /// The ratio of the medians.
    Median(f64),
    /// The ratio of the medians, and that of the 99th percentiles.
    Both(f64),
    /// The difference to the floor.
    Added(f64),
}

/// Rows with the same floor and unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub floor: &'static str,
    pub unit: Unit,
}

struct Row {
    name: String,
    section: Section,
    sides: Sides,
    goal: Option<Goal>,
}

/// All measured rows.
pub struct Table {
    only: String,
    rows: Vec<Row>,
}

impl Table {
    /// A table of the rows with this text in their names.
    pub fn new(only: String) -> Self {
        Self { only, rows: Vec::new() }
    }

    /// Measures a row, if it is wanted.
    ///
    /// # Errors
    /// It could not be measured.
    pub fn row(
        &mut self,
        name: impl Into<String>,
        section: Section,
        goal: Option<Goal>,
        measure: impl FnOnce() -> Result<Sides, String>,
    ) -> Result<(), String> {
        let name = name.into();
        if name.contains(&self.only) {
            let sides = measure()?;
            self.rows.push(Row { name, section, sides, goal });
        }
        Ok(())
    }

    /// Prints all rows, and then those that miss their goals.
    pub fn print(&self) {
        println!(
            "\n{:<44}{:>9}{:>9}{:>9}{:>7}{:>7}{:>7}{:>9}{:>9}{:>7}",
            "", "ours", "floor", "added", "ratio", "round", "goal", "p99", "floor", "ratio"
        );
        let mut sections: Vec<Section> = Vec::new();
        for row in &self.rows {
            if !sections.contains(&row.section) {
                sections.push(row.section);
            }
        }
        for section in sections {
            println!("\nbeside {}, in {}", section.floor, section.unit.name());
            for row in self.rows.iter().filter(|row| row.section == section) {
                println!("{}", row.line());
            }
        }
        let missed: Vec<&Row> = self.rows.iter().filter(|row| row.is_missed()).collect();
        if !missed.is_empty() {
            println!("\nmissed:");
            for row in missed {
                println!("{}", row.line());
            }
        }
    }

    /// Writes all rows to a file as JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_json(&self, machine: &[String], path: &str) -> Result<(), String> {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let text = json!({ "machine": machine, "rows": rows });
        std::fs::write(path, format!("{text:#}\n")).map_err(|error| format!("{path}: {error}"))
    }
}

impl Row {
    fn ours(&self) -> &Samples {
        &self.sides.ours
    }

    fn floor(&self) -> &Samples {
        &self.sides.floor
    }

    fn added(&self) -> f64 {
        self.ours().median() - self.floor().median()
    }

    fn ratio(&self) -> f64 {
        self.ours().median() / self.floor().median()
    }

    fn ratio_of_p99(&self) -> f64 {
        self.ours().p99() / self.floor().p99()
    }

    fn is_missed(&self) -> bool {
        match self.goal {
            None => false,
            Some(Goal::Median(most)) => self.ratio() > most,
            Some(Goal::Both(most)) => self.ratio().max(self.ratio_of_p99()) > most,
            Some(Goal::Added(most)) => self.added() > most,
        }
    }

    fn shown(&self, value: f64) -> String {
        let (value, digits) = match self.section.unit {
            Unit::Nanoseconds => (value / 1000.0, 2),
            Unit::Bytes => (value / 1024.0, 1),
            Unit::PerSecond => (value, 0),
        };
        let digits = if value.abs() < ROUND_FROM { digits } else { 0 };
        format!("{value:.digits$}")
    }

    fn line(&self) -> String {
        let goal = self.goal.map_or(String::new(), |goal| match goal {
            Goal::Median(most) | Goal::Both(most) => format!("{most:.2}"),
            Goal::Added(most) => format!("+{}", self.shown(most)),
        });
        format!(
            "{:<44}{:>9}{:>9}{:>9}{:>7.2}{:>7.2}{:>7}{:>9}{:>9}{:>7.2}{}",
            self.name,
            self.shown(self.ours().median()),
            self.shown(self.floor().median()),
            self.shown(self.added()),
            self.ratio(),
            self.ours().ratio_by_round(self.floor()),
            goal,
            self.shown(self.ours().p99()),
            self.shown(self.floor().p99()),
            self.ratio_of_p99(),
            if self.is_missed() { " !" } else { "" },
        )
    }

    fn json(&self) -> Value {
        json!({
            "row": self.name,
            "floor": self.section.floor,
            "unit": match self.section.unit {
                Unit::Nanoseconds => "ns",
                Unit::Bytes => "bytes",
                Unit::PerSecond => "answers/s",
            },
            "median": self.ours().median(),
            "p99": self.ours().p99(),
            "floor_median": self.floor().median(),
            "floor_p99": self.floor().p99(),
            "ratio": self.ratio(),
            "ratio_by_round": self.ours().ratio_by_round(self.floor()),
            "ratio_of_p99": self.ratio_of_p99(),
            "goal": self.goal.map(|goal| match goal {
                Goal::Median(most) => json!({ "ratio": most }),
                Goal::Both(most) => json!({ "ratio": most, "ratio_of_p99": most }),
                Goal::Added(most) => json!({ "added": most }),
            }),
            "missed": self.is_missed(),
        })
    }
}
