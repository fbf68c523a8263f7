//! spin
fn main() {
    let set = rampart_policy::PolicySet::starter();
    let line = std::env::args().nth(1).unwrap_or_default();
    let t = std::time::Instant::now();
    let n = 100_000;
    for _ in 0..n {
        std::hint::black_box(set.evaluate(&rampart_policy::Call {
            agent: "a",
            session: "s",
            command: std::hint::black_box(&line),
            cwd: None,
        }));
    }
    println!("{:?}", t.elapsed() / n);
}
