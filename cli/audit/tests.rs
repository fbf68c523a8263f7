//! Tests of writing and verifying, on real files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::batch::Batch;
use super::event::Host;
use super::files;
use super::log::{Audit, Durability};
use super::record::{Parents, Record, Said};
use super::verify::{Finding, verify};
use super::writer::{Limits, Writer, chain};

/// A decision, as it comes from an answer.
fn entry(id: &str, command: &str) -> Batch {
    let mut batch = Batch::default();
    batch.record(Record {
        time: SystemTime::now(),
        tool: "exec",
        id,
        agent: "tester",
        session: "s",
        pid: i32::try_from(std::process::id()).ok(),
        command: Some(command),
        part: None,
        fields: vec![("mode", Said::Text("enforce")), ("cwd", Said::Text("/tmp"))],
        verdict: "allow",
        policies: vec!["p"],
        evaluation_us: 7,
        message: "",
    });
    batch
}

/// Several that come at one moment.
fn all(batches: impl IntoIterator<Item = Batch>) -> Batch {
    batches.into_iter().fold(Batch::default(), |mut all, batch| {
        all.append(batch);
        all
    })
}

fn writer(path: &Path) -> Writer {
    Writer::new(path, Limits::default())
}

fn check(path: &Path) -> Finding {
    verify(&files::all(path)).unwrap()
}

/// Checks the chain, and returns the IDs in order.
fn ids(path: &Path) -> Vec<String> {
    let finding = check(path);
    assert_eq!(finding.broken, None);
    let lines = files::all(path).into_iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let ids: Vec<String> = lines
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(finding.events, ids.len() as u64);
    ids
}

fn audit() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    (directory, path)
}

#[test]
fn several_writers_write_one_chain_through_rotations() {
    const WRITERS: usize = 10;
    const BATCHES: usize = 30;
    let (_directory, path) = audit();
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let path = &path;
            scope.spawn(move || {
                let limits = Limits { bytes: 8_000, ..Limits::default() };
                let mut writer = Writer::new(path, limits);
                for batch in 0..BATCHES {
                    let id = |each| format!("{number}-{batch}-{each}");
                    writer.write(all((0..3).map(|each| entry(&id(each), "ls <x> & 'é'"))));
                }
            });
        }
    });
    let ids = ids(&path);
    assert_eq!(ids.len(), WRITERS * BATCHES * 3);
    assert!(files::earlier(&path).len() > 5);
    // Each batch stays together and in order.
    for number in 0..WRITERS {
        let own = ids.iter().filter(|id| id.starts_with(&format!("{number}-")));
        let expected = (0..BATCHES).flat_map(|batch| (0..3).map(move |each| (batch, each)));
        let expected = expected.map(|(batch, each)| format!("{number}-{batch}-{each}"));
        assert!(own.eq(expected.collect::<Vec<_>>().iter()));
    }
}

#[test]
fn what_comes_at_once_or_after_a_rest_is_written_in_its_order() {
    /// More than may pile up.
    const LONG: (usize, usize) = (20, 256 * 1024);
    let (_directory, path) = audit();
    let audit = Audit::open(&path, Durability::Soon);
    let add = |number: usize, command: &str| {
        audit.lines().as_mut().append(entry(&number.to_string(), command));
        audit.wake();
    };
    let has = |lines| fs::read_to_string(&path).unwrap().matches('\n').count() == lines;
    let long = "x".repeat(LONG.1);
    (0..LONG.0).for_each(|number| add(number, &long));
    for number in LONG.0..LONG.0 + 2 {
        let begun = std::time::Instant::now();
        while !has(number) && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its thread sleeps by then.
        std::thread::sleep(Duration::from_millis(300));
        assert!(has(number));
        add(number, "ls");
    }
    audit.finish();
    add(LONG.0 + 2, "who comes after the end is not recorded");
    let expected = (0..LONG.0 + 2).map(|number| number.to_string());
    assert!(ids(&path).into_iter().eq(expected));
}

#[test]
fn an_old_file_is_put_away_and_the_chain_goes_on() {
    let (_directory, path) = audit();
    writer(&path).write(entry("1", "ls"));
    std::thread::sleep(Duration::from_millis(5));
    let limits = Limits { age: Duration::from_millis(1), ..Limits::default() };
    Writer::new(&path, limits).write(entry("2", "ls"));
    assert_eq!(files::all(&path).len(), 2);
    assert_eq!(ids(&path), ["1", "2"]);
}

#[test]
fn a_torn_line_is_kept_in_an_event_and_nothing_else_is_lost() {
    let (_directory, path) = audit();
    let mut first = writer(&path);
    first.write(entry("1", "ls"));
    let torn = r#"{"schema_version":"rampart.audit.v1","id":"2"#;
    OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
    let finding = check(&path);
    assert_eq!((finding.events, finding.broken), (1, None));
    assert!(finding.notes[0].contains(":2: the last line has no end"), "{:?}", finding.notes);
    first.write(entry("3", "ls"));
    let ids = ids(&path);
    assert_eq!((&*ids[0], &*ids[2]), ("1", "3"));
    assert!(ids[1].starts_with("torn-line-"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&torn.replace('"', "\\\"")), "{text}");
}

#[test]
fn the_first_line_that_breaks_the_chain_is_named() {
    let (_directory, path) = audit();
    writer(&path).write(all((0..5).map(|id| entry(&id.to_string(), "ls -l"))));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let changed = lines[2].replacen("ls -l", "ls -a", 1);
    let without = lines[2].replacen("sha256:", "sha256-", 9);
    for (lines, broken, why) in [
        (vec![lines[0], lines[1], &changed, lines[3]], 3, "was changed"),
        (vec![lines[0], lines[1], lines[3], lines[4]], 3, "does not follow"),
        (vec![lines[0], lines[2], lines[1], lines[3]], 2, "does not follow"),
        (vec![lines[0], lines[0], lines[1]], 2, "does not follow"),
        (vec![lines[0], "{}", lines[1]], 2, "has no hash"),
        (vec![lines[0], "no record", lines[1]], 2, "is not a record"),
        (vec![lines[0], lines[1], &without], 3, "does not follow"),
    ] {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let found = check(&path).broken.unwrap();
        assert_eq!((&found.file, found.line), (&path, broken), "{}", found.why);
        assert!(found.why.contains(why), "{}", found.why);
    }
    // Without the beginning the rest still verifies, with a note.
    fs::write(&path, lines[2..].join("\n") + "\n").unwrap();
    let finding = check(&path);
    assert_eq!((finding.events, finding.broken), (3, None));
    assert!(finding.notes[0].contains("continues an earlier file"), "{:?}", finding.notes);
}

#[test]
fn a_lock_that_is_never_given_back_delays_and_loses_nothing() {
    let (_directory, path) = audit();
    let mut writer = writer(&path);
    writer.write(entry("1", "ls"));
    let holder = OpenOptions::new().append(true).open(&path).unwrap();
    holder.lock().unwrap();
    writer.write(entry("2", "ls"));
    assert_eq!(ids(&path), ["1", "2"]);
}

#[test]
fn what_a_full_disk_did_not_take_is_written_once_there_is_room() {
    let (directory, path) = audit();
    // A link to a full disk at first.
    let link = directory.path().join("link.jsonl");
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    let mut writer = writer(&link);
    writer.write(entry("1", "ls"));
    writer.write(entry("2", "ls"));
    assert!(writer.is_behind());
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    writer.write(entry("3", "ls"));
    writer.write_all();
    assert!(!writer.is_behind());
    assert_eq!(ids(&path), ["1", "2", "3"]);
}

#[test]
fn what_waits_for_a_full_disk_has_an_end_and_the_gap_is_told() {
    let (directory, path) = audit();
    let link = directory.path().join("link.jsonl");
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    let mut writer = writer(&link);
    let long = "x".repeat(1024 * 1024);
    for id in 0..8 {
        writer.write(entry(&id.to_string(), &long));
    }
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    writer.write_all();
    let ids = ids(&path);
    assert!(ids[0].starts_with("lost-"), "{ids:?}");
    assert_eq!(ids[1..], ["5", "6", "7"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("5 decisions could not be written and are lost"), "{}", &text[..500]);
}

#[test]
fn a_command_that_the_go_command_could_not_read_is_shortened_with_its_hash() {
    let (_directory, path) = audit();
    let long = "é".repeat(1024 * 1024);
    writer(&path).write(all([entry("1", &long), entry("2", &"x".repeat(39_000))]));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(text.lines().next().unwrap().len() < 2 * 1024 * 1024);
    let compaction = &lines[0]["compacted_fields"]["request.command"];
    assert_eq!(compaction["original_json_bytes"], long.len() + 2);
    assert!(long.starts_with(lines[0]["request"]["command"].as_str().unwrap()));
    assert_eq!(lines[1]["request"]["command"].as_str().unwrap().len(), 39_000);
    assert_eq!(ids(&path), ["1", "2"]);
}

#[test]
fn a_fault_in_a_record_leaves_nothing_to_the_next_one_and_the_chain_holds() {
    let (_directory, path) = audit();
    let (mut bytes, mut head) = (Vec::new(), String::new());
    let write = |id: &str, previous: &str, bytes: &mut Vec<u8>| {
        entry(id, "ls").get(0).write(&Host::default(), &mut Parents::default(), previous, bytes)
    };
    chain(|previous, bytes| write("1", previous, bytes), &mut head, &mut bytes);
    let fail = |_: &str, bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(b"half a line");
        panic!("a fault")
    };
    chain(fail, &mut head, &mut bytes);
    chain(|previous, bytes| write("3", previous, bytes), &mut head, &mut bytes);
    fs::write(&path, bytes).unwrap();
    let ids = ids(&path);
    assert_eq!((&*ids[0], &*ids[2]), ("1", "3"));
    assert!(ids[1].starts_with("fault-"), "{ids:?}");
}
