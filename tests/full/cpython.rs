//! `CPython`'s own tests of what starts programs, with the library and without.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::suites::Workspace;
use crate::watched::Ended;

const TESTS: [&str; 8] = [
    "test_subprocess",
    "test_os",
    "test_posix",
    "test_popen",
    "test_pty",
    "test_signal",
    "test_fork1",
    "test_asyncio.test_subprocess",
];

/// Debian's, whose `subprocess` uses vfork, and one that uses `posix_spawn`.
const INTERPRETERS: [&str; 2] = ["/usr/bin/python3", "/root/.pyenv/versions/3.13.0/bin/python3"];

/// The result of each test: `passed`, `skipped`, `failure` or `error`.
type Results = BTreeMap<String, String>;

/// Reads the report in `JUnit` format that `CPython` writes.
fn results(report: &str) -> Results {
    let mut all = Results::new();
    for case in report.split("<testcase ").skip(1) {
        let Some(name) = case.split("name=\"").nth(1).and_then(|rest| rest.split('"').next())
        else {
            continue;
        };
        let ending = ["skipped", "failure", "error"]
            .into_iter()
            .find(|tag| case.contains(&format!("<{tag}")));
        all.insert(name.to_owned(), ending.unwrap_or("passed").to_owned());
    }
    all
}

/// One run of all tests.
struct Trial {
    results: Results,
    ended: Ended,
}

impl Trial {
    fn run(ground: &Workspace, name: &str, python: &str, guarded: bool) -> Self {
        let directory = ground.directory(name);
        let mut words = vec![python, "-m", "test", "--junit-xml", "report.xml"];
        words.extend(TESTS);
        let ended = ground.start(&directory, &words, guarded).finish();
        let report = fs::read_to_string(directory.join("report.xml")).unwrap_or_default();
        assert!(!report.is_empty(), "{python} made no report: {ended:#?}");
        Self { results: results(&report), ended }
    }

    /// The tests whose result differs from that of both other runs, which agree.
    fn differing<'t>(&'t self, first: &'t Self, second: &'t Self) -> BTreeMap<&'t str, String> {
        let names = first.results.keys().chain(self.results.keys());
        names
            .filter_map(|name| {
                let [here, one, two] =
                    [self, first, second].map(|trial| trial.results.get(name).map(String::as_str));
                let differs = one == two && here != one;
                differs.then(|| (&**name, format!("{one:?} became {here:?}")))
            })
            .collect()
    }
}

fn has_tests(python: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", "import test.test_subprocess"]);
    Path::new(python).exists() && import.output().is_ok_and(|it| it.status.success())
}

fn demand_same_results(python: &str) {
    let ground = Workspace::new();
    let begun = Instant::now();
    // At the same time, as they mostly wait. A test that fails because the machine is busy fails
    // without the library too, or passes when repeated.
    let (first, second, guarded) = std::thread::scope(|scope| {
        let trial = |name, guarded| {
            let ground = &ground;
            scope.spawn(move || Trial::run(ground, name, python, guarded))
        };
        let trials = [trial("first", false), trial("second", false), trial("guarded", true)];
        let [first, second, guarded] = trials.map(|it| it.join().expect("a trial"));
        (first, second, guarded)
    });
    let took = begun.elapsed();
    let mut differing = guarded.differing(&first, &second);
    let again;
    if !differing.is_empty() {
        println!("{python}: once more because of {differing:#?}");
        again = Trial::run(&ground, "again", python, true);
        let still = again.differing(&first, &second);
        differing.retain(|name, _| still.contains_key(name));
    }
    assert!(differing.is_empty(), "{python}: {differing:#?}\n{}", guarded.ended.stderr);
    let notices = guarded.ended.stderr.matches("rampart: ").count();
    assert_eq!(notices, 0, "{python}: {}", guarded.ended.stderr);
    let passed = guarded.results.values().filter(|it| *it == "passed").count();
    let (total, questions) = (guarded.results.len(), ground.questions());
    assert!(passed > 300 && questions > 300, "{passed} passed, {questions} questions");
    println!("{python}: {passed} of {total} pass as without; {questions} questions; {took:.1?}");
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn cpythons_own_tests_end_as_without() {
    let mut found = 0;
    for python in INTERPRETERS {
        if has_tests(python) {
            demand_same_results(python);
            found += 1;
        } else {
            println!("skipped: {python} is not there, or has no tests (libpython3.11-testsuite)");
        }
    }
    assert!(found > 0, "no interpreter has its tests: ci/test-full installs them");
}
