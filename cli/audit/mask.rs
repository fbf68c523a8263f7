//! Masks what looks like a secret in a command line before it is recorded.
//!
//! A mask covers one shell word at most: if it reached further, a command could hide what follows a
//! pretended secret. In doubt, text stays readable.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use super::secrets::{Kind, kinds};

struct Masker {
    /// Finds in one pass which kinds a text may contain: mostly none.
    marks: Option<AhoCorasick>,
    /// For each mark, the bit of its kind.
    owners: Vec<u64>,
    kinds: Vec<Compiled>,
}

struct Compiled {
    /// Compiled on demand: compiling all would delay the first command.
    regex: LazyLock<Option<Regex>, Compile>,
    kept: &'static str,
}

type Compile = Box<dyn FnOnce() -> Option<Regex> + Send>;

static MASKER: LazyLock<Masker> = LazyLock::new(|| {
    let kinds = kinds();
    let marks = kinds.iter().enumerate();
    let marks =
        marks.flat_map(|(index, kind)| kind.marks.iter().map(move |mark| (1 << index, *mark)));
    let (owners, marks): (Vec<u64>, Vec<&str>) = marks.unzip();
    let marks = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(marks)
        .ok();
    let kinds = kinds.into_iter().map(|Kind { pattern, kept, .. }| {
        let compile: Compile = Box::new(move || Regex::new(&pattern).ok());
        Compiled { regex: LazyLock::new(compile), kept }
    });
    Masker { marks, owners, kinds: kinds.collect() }
});

/// Builds the tables, so that the first command does not wait for that.
pub fn prepare() {
    LazyLock::force(&MASKER);
}

/// The text with `***` in place of what looks like a secret.
pub fn mask(text: &str) -> Cow<'_, str> {
    let Masker { marks, owners, kinds } = &*MASKER;
    let mut possible = if marks.is_some() { 0 } else { u64::MAX };
    for mark in marks.iter().flat_map(|marks| marks.find_overlapping_iter(text)) {
        possible |= owners[mark.pattern().as_usize()];
    }
    let mut masked = Cow::Borrowed(text);
    let kinds = kinds.iter().enumerate().filter(|(index, _)| possible >> index & 1 == 1);
    for (_, Compiled { regex, kept }) in kinds {
        if let Some(regex) = regex.as_ref()
            && let Cow::Owned(changed) = regex.replace_all(&masked, *kept)
        {
            masked = Cow::Owned(changed);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    use super::mask;
    use crate::audit::secrets::kinds;

    #[test]
    fn every_pattern_compiles_and_has_a_bit() {
        assert!(kinds().len() <= 64);
        for kind in kinds() {
            regex::Regex::new(&kind.pattern).unwrap();
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_and_the_rest_stays() {
        let table = [
            ("tool --password=hunter2 x", "tool --password=*** x"),
            ("tool --password hunter2 x", "tool --password *** x"),
            ("tool --password 'a b' x", "tool --password *** x"),
            ("tool --password 'it'\\''s' x", "tool --password *** x"),
            ("tool '--password=a b' x", "tool '--password=***' x"),
            ("tool --db-password=x", "tool --db-password=***"),
            ("tool --password=-x y", "tool --password=*** y"),
            ("gh --token abc123 pr", "gh --token *** pr"),
            ("tool -token=abc", "tool -token=***"),
            ("tool --api-key k --x", "tool --api-key *** --x"),
            ("tool --token=abc; rm -rf /x", "tool --token=***; rm -rf /x"),
            ("tool --token=abc&&rm -rf /x", "tool --token=***&&rm -rf /x"),
            ("sh -c 'tool --token=abc && rm x'", "sh -c 'tool --token=*** && rm x'"),
            ("sh -c 'tool --token \"a b\" && rm x'", "sh -c 'tool --token *** && rm x'"),
            ("PASSWORD=hunter2 run", "PASSWORD=*** run"),
            ("env GITHUB_TOKEN=x1 gh", "env GITHUB_TOKEN=*** gh"),
            ("env 'CLIENT_SECRET=a b' x", "env 'CLIENT_SECRET=***' x"),
            ("export AWS_SECRET_ACCESS_KEY=abc/+", "export AWS_SECRET_ACCESS_KEY=***"),
            ("curl 'http://h/?api_key=abc&x=1'", "curl 'http://h/?api_key=***&x=1'"),
            ("curl -H 'Authorization: Bearer abc.def' u", "curl -H 'Authorization: Bearer ***' u"),
            ("curl -H 'authorization: abc' u", "curl -H 'authorization: ***' u"),
            ("curl -H \"Authorization: Basic YTpi\" u", "curl -H \"Authorization: Basic ***\" u"),
            ("curl -H 'X-Api-Key: abc' u", "curl -H 'X-Api-Key: ***' u"),
            ("curl -H 'PRIVATE-TOKEN: abc' u", "curl -H 'PRIVATE-TOKEN: ***' u"),
            ("say bearer abcdef0123456789", "say bearer ***"),
            ("git clone https://me:pw@host/x", "git clone https://me:***@host/x"),
            ("psql postgres://u:p%40w@db:5432/x", "psql postgres://u:***@db:5432/x"),
            ("mysql -u root -phunter2 db", "mysql -u root -p*** db"),
            ("mysqldump -phunter2", "mysqldump -p***"),
            ("sshpass -p hunter2 ssh h", "sshpass -p *** ssh h"),
            ("redis-cli -h h -a pw ping", "redis-cli -h h -a *** ping"),
            ("docker login -u me -p pw reg", "docker login -u me -p *** reg"),
            ("curl -u me:pw http://h", "curl -u me:*** http://h"),
            ("openssl rsa -passin pass:pw -in k", "openssl rsa -passin pass:*** -in k"),
            ("x AKIAIOSFODNN7EXAMPLE y", "x *** y"),
            ("x ghp_abcdefghijklmnopqrstuvwxyz012345 y", "x *** y"),
            ("x gho_abcdefghijklmnopqrstuvwxyz012345", "x ***"),
            ("x github_pat_11ABCDEFG0abcdefghijkl_mnop", "x ***"),
            ("x glpat-abcdefghij0123456789 y", "x *** y"),
            ("x sk-abcdefghijklmnopqrstuvwx y", "x *** y"),
            ("x sk-ant-api03-abcdefghijklmnopqrst-uv y", "x *** y"),
            ("x xoxb-123456789012-abcdef y", "x *** y"),
            ("x eyJhbGciOi.eyJzdWIiOiIx.SflKxw-_ y", "x *** y"),
            (
                "echo '-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/\nxyz=\n-----END RSA PRIVATE KEY-----' > k",
                "echo '-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----' > k",
            ),
            (
                "echo -----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0B; ls /x",
                "echo -----BEGIN PRIVATE KEY-----***; ls /x",
            ),
        ];
        for (command, expected) in table {
            assert_eq!(mask(command), expected, "{command}");
        }
    }

    #[test]
    fn what_only_resembles_a_secret_stays_readable() {
        for command in [
            "ls -la /tmp",
            "tool --password-stdin < f",
            "tool --token-file /run/token",
            "tool --no-password --host h",
            "tool --password",
            "tool --password=\"$PW\"",
            "PASSWORD=$PW run",
            "TOKEN=$(cat token) run",
            "TOKEN=\"$(cat token)\" run",
            "grep -rn password= src",
            "grep password /etc/nsswitch.conf",
            "git commit -m 'add bearer authentication'",
            "git commit -m 'fix token: remove it'",
            "curl http://host:8080/@scope/pkg",
            "ssh -p 2222 me@host",
            "mkdir -p a/b",
            "mysql -p db",
            "mysql -P 3306 db",
            "docker run -p 80:80 x",
            "cd sk-learn-tutorial-notebooks",
            "cd /srv/task-force-abcdefghijklmnopqrstuvwxyz",
            "echo AKIA",
            "echo eyJ.a.b",
            "tool --max-tokens=100",
            "TOKENS=5 x",
            "echo -----BEGIN PRIVATE KEY----- ; rm -rf /x",
            "cat -----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(mask(command), command);
        }
    }

    #[test]
    fn masking_twice_changes_nothing_more() {
        for command in ["tool --token abc", "PASSWORD=x y", "curl -u a:b http://c:d@e"] {
            let once = mask(command).into_owned();
            assert!(matches!(mask(&once), Cow::Borrowed(_)) || mask(&once) == once, "{once}");
        }
    }

    #[test]
    fn two_mebibytes_of_the_worst_are_masked_in_linear_time() {
        const BYTES: usize = 2 * 1024 * 1024;
        for piece in [
            "a",
            "--token ",
            "--token \"",
            "'--token=",
            "mysql -u ",
            "http://a:",
            "eyJaaaaaa.",
            "-----BEGIN PRIVATE KEY-----",
            "PASSWORD=x ",
            "\u{fc}",
        ] {
            // The processor's time for an eighth and for the whole: whatever else runs beside it,
            // by the square it would be sixty-four times as much.
            let spent = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
            let took = |bytes: usize| {
                let (command, begun) = (piece.repeat(bytes / piece.len()), spent());
                std::hint::black_box(mask(&command));
                spent().saturating_sub(begun)
            };
            let (eighth, whole) = (took(BYTES / 8), took(BYTES));
            assert!(
                whole < eighth * 24 + Duration::from_millis(50),
                "{piece}: {eighth:?} {whole:?}"
            );
        }
    }
}
