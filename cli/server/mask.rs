//! Takes what looks like a secret out of a command line before it is kept.
//!
//! A mask covers one shell word at most: were it to reach further, a command could
//! hide what comes after a pretended secret. What is not certain stays readable.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};

/// One kind of secret: where it is, and what is left of it.
struct Kind {
    pattern: String,
    kept: &'static str,
}

/// The rest of a shell word: quoted, or up to where an unquoted one ends. A value
/// that is a variable or a substitution is no secret itself.
const VALUE: &str = r#"(?u:'[^']+'(?:\\''[^']*')*|"[^"$`\\](?:[^"\\]|\\.)*"|[^\s'"$`;|&<>()*\\-](?:[^\s'";|&<>()\\]|\\.)*)"#;
/// The same, where a dash at the beginning is not the next flag.
const JOINED: &str = r#"(?u:'[^']+'(?:\\''[^']*')*|"[^"$`\\](?:[^"\\]|\\.)*"|[^\s'"$`;|&<>()*\\](?:[^\s'";|&<>()\\]|\\.)*)"#;
/// The last part of the name of something secret.
const NAME: &str =
    r"(?:password|passwd|passphrase|token|secret|api[-_]?key|access[-_]?key|secret[-_]?key)";

fn kinds() -> Vec<Kind> {
    let kind = |pattern: String, kept| Kind {
        pattern: format!("(?i-u){pattern}"),
        kept,
    };
    let exact = |pattern: &str| Kind {
        pattern: format!("(?-u){pattern}"),
        kept: "***",
    };
    vec![
        // A whole key; and the beginning of one whose end is missing.
        Kind {
            pattern: r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[A-Za-z0-9+/=\s\\:,.-]*?(-----END)".into(),
            kept: "${1}***${2}",
        },
        Kind {
            pattern: r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})+".into(),
            kept: "${1}***",
        },
        // '--password=a b' and 'PASSWORD=a b': the quotes are around name and value.
        kind(format!(r"'((?:--?)?(?:[a-z0-9]+[-_])*{NAME}=)(?u:[^'$`*][^']*)'"), "'${1}***'"),
        kind(format!(r#""((?:--?)?(?:[a-z0-9]+[-_])*{NAME}=)(?u:[^"$`*][^"]*)""#), "\"${1}***\""),
        kind(format!(r#"((?:^|[\s'"])--?(?:[a-z0-9]+[-_])*(?:{NAME}|pass)\s+){VALUE}"#), "${1}***"),
        kind(format!(r#"((?:^|[\s'"])--?(?:[a-z0-9]+[-_])*(?:{NAME}|pass)=){JOINED}"#), "${1}***"),
        kind(format!(r"(\b(?:[a-z0-9]+_)*{NAME}=){JOINED}"), "${1}***"),
        kind(
            r#"(\b(?:proxy-)?authorization\s*:\s*(?:(?:basic|bearer|token|digest|negotiate|apikey|aws4-hmac-sha256)\s+)?)(?u:[^\s'"$`*][^\s'"]*)"#.into(),
            "${1}***",
        ),
        kind(
            r#"(\b(?:x-[a-z-]*(?:key|token|secret)|private-token|job-token)\s*:\s*)(?u:[^\s'"$`*][^\s'"]*)"#.into(),
            "${1}***",
        ),
        kind(r"(\bbearer\s+)[a-z._~+/=-]{0,64}[0-9][a-z0-9._~+/=-]{7,}".into(), "${1}***"),
        kind(r#"(\b[a-z][a-z0-9+.-]*://(?u:[^\s/:@'"]*):)(?u:[^\s/@'"$*][^\s/@'"]*)@"#.into(), "${1}***@"),
        // Flags that are secrets with these programs only.
        kind(
            format!(r"(\b(?:mysql[a-z]*|mariadb[a-z-]*)\s(?u:(?:[^;|&\n]*?\s)?)-p){JOINED}"),
            "${1}***",
        ),
        kind(format!(r"(\bsshpass\s+-p\s*){JOINED}"), "${1}***"),
        kind(format!(r"(\bredis-cli\s(?u:(?:[^;|&\n]*?\s)?)-a\s*){JOINED}"), "${1}***"),
        kind(format!(r"(\b(?:docker|podman)\s+login\s(?u:(?:[^;|&\n]*?\s)?)-p\s*){JOINED}"), "${1}***"),
        kind(
            r#"(\b(?:curl|wget|http)\s(?u:(?:[^;|&\n]*?\s)?)(?:-u|--user)[\s=]*['"]?(?u:[^\s:'"]+):)(?u:[^\s'"$*][^\s'"]*)"#.into(),
            "${1}***",
        ),
        kind(r#"(\s-pass(?:in|out)?\s+['"]?pass:)(?u:[^\s'"$*][^\s'"]*)"#.into(), "${1}***"),
        // Secrets that are known by their own form.
        exact(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        exact(r"\bgh[oprsu]_[A-Za-z0-9]{20,}"),
        exact(r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
        exact(r"\bglpat-[A-Za-z0-9_-]{20,}"),
        exact(r"\bsk-(?:[A-Za-z]{2,8}[0-9]{0,2}-)*[A-Za-z0-9_]{16,}[A-Za-z0-9_-]*"),
        exact(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        exact(r"\bAIza[A-Za-z0-9_-]{35}"),
        exact(r"\b(?:npm|hf)_[A-Za-z0-9]{30,}"),
        exact(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    ]
}

struct Masker {
    /// Tells in one pass which kinds are there at all: most commands have none.
    any: RegexSet,
    kinds: Vec<(LazyLock<Option<Regex>, Compile>, &'static str)>,
}

type Compile = Box<dyn FnOnce() -> Option<Regex> + Send>;

static MASKER: LazyLock<Masker> = LazyLock::new(|| {
    let kinds = kinds();
    // A pattern that does not compile is a fault of this file, found by its tests.
    let any = RegexSet::new(kinds.iter().map(|kind| &kind.pattern)).unwrap_or_default();
    let kinds = kinds
        .into_iter()
        .map(|Kind { pattern, kept }| {
            let compile: Compile = Box::new(move || Regex::new(&pattern).ok());
            (LazyLock::new(compile), kept)
        })
        .collect();
    Masker { any, kinds }
});

/// Compiles the patterns, so that the first command does not wait for it.
pub fn prepare() {
    LazyLock::force(&MASKER);
}

/// The text with `***` in place of what looks like a secret.
pub fn mask(text: &str) -> Cow<'_, str> {
    let Masker { any, kinds } = &*MASKER;
    let mut masked = Cow::Borrowed(text);
    for index in any.matches(text) {
        let (regex, kept) = &kinds[index];
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
    use std::time::{Duration, Instant};

    use super::{kinds, mask};

    #[test]
    fn every_pattern_compiles() {
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
            (
                "sh -c 'tool --token=abc && rm x'",
                "sh -c 'tool --token=*** && rm x'",
            ),
            (
                "sh -c 'tool --token \"a b\" && rm x'",
                "sh -c 'tool --token *** && rm x'",
            ),
            ("PASSWORD=hunter2 run", "PASSWORD=*** run"),
            ("env GITHUB_TOKEN=x1 gh", "env GITHUB_TOKEN=*** gh"),
            ("env 'CLIENT_SECRET=a b' x", "env 'CLIENT_SECRET=***' x"),
            (
                "export AWS_SECRET_ACCESS_KEY=abc/+",
                "export AWS_SECRET_ACCESS_KEY=***",
            ),
            (
                "curl 'http://h/?api_key=abc&x=1'",
                "curl 'http://h/?api_key=***&x=1'",
            ),
            (
                "curl -H 'Authorization: Bearer abc.def' u",
                "curl -H 'Authorization: Bearer ***' u",
            ),
            (
                "curl -H 'authorization: abc' u",
                "curl -H 'authorization: ***' u",
            ),
            (
                "curl -H \"Authorization: Basic YTpi\" u",
                "curl -H \"Authorization: Basic ***\" u",
            ),
            ("curl -H 'X-Api-Key: abc' u", "curl -H 'X-Api-Key: ***' u"),
            (
                "curl -H 'PRIVATE-TOKEN: abc' u",
                "curl -H 'PRIVATE-TOKEN: ***' u",
            ),
            ("say bearer abcdef0123456789", "say bearer ***"),
            (
                "git clone https://me:pw@host/x",
                "git clone https://me:***@host/x",
            ),
            (
                "psql postgres://u:p%40w@db:5432/x",
                "psql postgres://u:***@db:5432/x",
            ),
            ("mysql -u root -phunter2 db", "mysql -u root -p*** db"),
            ("mysqldump -phunter2", "mysqldump -p***"),
            ("sshpass -p hunter2 ssh h", "sshpass -p *** ssh h"),
            ("redis-cli -h h -a pw ping", "redis-cli -h h -a *** ping"),
            (
                "docker login -u me -p pw reg",
                "docker login -u me -p *** reg",
            ),
            ("curl -u me:pw http://h", "curl -u me:*** http://h"),
            (
                "openssl rsa -passin pass:pw -in k",
                "openssl rsa -passin pass:*** -in k",
            ),
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
        for command in [
            "tool --token abc",
            "PASSWORD=x y",
            "curl -u a:b http://c:d@e",
        ] {
            let once = mask(command).into_owned();
            assert!(
                matches!(mask(&once), Cow::Borrowed(_)) || mask(&once) == once,
                "{once}"
            );
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
            let command = piece.repeat(BYTES / piece.len());
            let start = Instant::now();
            std::hint::black_box(mask(&command));
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{piece}: {:?}",
                start.elapsed()
            );
        }
    }
}
