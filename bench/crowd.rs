//! Many idle processes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A crowd of probes that are all ready.
pub struct Crowd {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts the probe `crowd`.
    ///
    /// # Errors
    /// Not all get ready.
    pub fn start(mut crowd: Command, count: usize) -> Result<Self, String> {
        let mut process = crowd
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{crowd:?}: {error}"))?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("a crowd without output")?;
        let mut crowd = Self { process, input, output: BufReader::new(output) };
        for ready in 0..count {
            let mut line = String::new();
            if crowd.output.read_line(&mut line).ok() != Some("ready\n".len()) {
                return Err(format!("only {ready} of {count} processes got ready"));
            }
        }
        Ok(crowd)
    }

    /// Ends all of them, and returns the numbers that they print.
    pub fn end(&mut self) -> Vec<f64> {
        drop(self.input.take());
        let lines = (&mut self.output).lines().map_while(Result::ok);
        lines.filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end();
        let _ = self.process.wait();
    }
}
