//! What secrets look like in a command line.

/// A kind of secret: how it is found, and what is left of it.
pub struct Kind {
    /// Every text that the pattern matches contains one of these, ignoring case.
    pub marks: &'static [&'static str],
    pub pattern: String,
    /// The replacement.
    pub kept: &'static str,
}

/// The rest of a shell word, quoted or up to its end. A variable or a substitution is not a secret
/// itself.
const VALUE: &str = r#"(?u:'[^']+'(?:\\''[^']*')*|"[^"$`\\](?:[^"\\]|\\.)*"|[^\s'"$`;|&<>()*\\-](?:[^\s'";|&<>()\\]|\\.)*)"#;
/// The same, but it may begin with a dash, which is not another flag here.
const JOINED: &str = r#"(?u:'[^']+'(?:\\''[^']*')*|"[^"$`\\](?:[^"\\]|\\.)*"|[^\s'"$`;|&<>()*\\](?:[^\s'";|&<>()\\]|\\.)*)"#;
/// A header's value, up to the end of the word.
const FIELD: &str = r#"(?u:[^\s'"$`*][^\s'"]*)"#;
/// What may come before the secret in an `Authorization` header.
const SCHEME: &str = "(?:basic|bearer|token|digest|negotiate|apikey|aws4-hmac-sha256)";
/// The last part of the name of something secret.
const NAME: &str =
    r"(?:password|passwd|passphrase|token|secret|api[-_]?key|access[-_]?key|secret[-_]?key)";

/// Each name of a secret contains one of these.
const NAME_MARKS: &[&str] = &["pass", "token", "secret", "key"];

/// All kinds, in the order in which they are masked.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = keys();
    kinds.extend(named());
    kinds.extend(flags_of_programs());
    kinds.extend(with_a_form_of_their_own());
    kinds
}

fn kind(marks: &'static [&'static str], pattern: &str, kept: &'static str) -> Kind {
    Kind { marks, pattern: format!("(?i-u){pattern}"), kept }
}

/// Private keys, complete or with the end missing.
fn keys() -> Vec<Kind> {
    let key = |rest: &str, kept| Kind {
        marks: &["PRIVATE KEY-----"],
        pattern: format!("(-----BEGIN [A-Z ]*PRIVATE KEY-----){rest}"),
        kept,
    };
    vec![
        key(r"[A-Za-z0-9+/=\s\\:,.-]*?(-----END)", "${1}***${2}"),
        key(r"(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})+", "${1}***"),
    ]
}

/// Values after the name of a secret.
fn named() -> Vec<Kind> {
    vec![
        // '--password=a b' and 'PASSWORD=a b': quotes around name and value.
        kind(
            NAME_MARKS,
            &format!(r"'((?:--?)?(?:[a-z0-9]+[-_])*{NAME}=)(?u:[^'$`*][^']*)'"),
            "'${1}***'",
        ),
        kind(
            NAME_MARKS,
            &format!(r#""((?:--?)?(?:[a-z0-9]+[-_])*{NAME}=)(?u:[^"$`*][^"]*)""#),
            "\"${1}***\"",
        ),
        kind(
            NAME_MARKS,
            &format!(r#"((?:^|[\s'"])--?(?:[a-z0-9]+[-_])*(?:{NAME}|pass)\s+){VALUE}"#),
            "${1}***",
        ),
        kind(
            NAME_MARKS,
            &format!(r#"((?:^|[\s'"])--?(?:[a-z0-9]+[-_])*(?:{NAME}|pass)=){JOINED}"#),
            "${1}***",
        ),
        kind(NAME_MARKS, &format!(r"(\b(?:[a-z0-9]+_)*{NAME}=){JOINED}"), "${1}***"),
        kind(
            &["authorization"],
            &format!(r"(\b(?:proxy-)?authorization\s*:\s*(?:{SCHEME}\s+)?){FIELD}"),
            "${1}***",
        ),
        kind(
            NAME_MARKS,
            &format!(
                r"(\b(?:x-[a-z-]*(?:key|token|secret)|private-token|job-token)\s*:\s*){FIELD}"
            ),
            "${1}***",
        ),
        kind(&["bearer"], r"(\bbearer\s+)[a-z._~+/=-]{0,64}[0-9][a-z0-9._~+/=-]{7,}", "${1}***"),
        kind(
            &["://"],
            r#"(\b[a-z][a-z0-9+.-]*://(?u:[^\s/:@'"]*):)(?u:[^\s/@'"$*][^\s/@'"]*)@"#,
            "${1}***@",
        ),
    ]
}

/// Flags that take a secret in certain programs.
fn flags_of_programs() -> Vec<Kind> {
    // What may stand between the program and the flag.
    let between = r"\s(?u:(?:[^;|&\n]*?\s)?)";
    vec![
        kind(
            &["mysql", "mariadb"],
            &format!(r"(\b(?:mysql[a-z]*|mariadb[a-z-]*){between}-p){JOINED}"),
            "${1}***",
        ),
        kind(&["sshpass"], &format!(r"(\bsshpass\s+-p\s*){JOINED}"), "${1}***"),
        kind(&["redis-cli"], &format!(r"(\bredis-cli{between}-a\s*){JOINED}"), "${1}***"),
        kind(
            &["login"],
            &format!(r"(\b(?:docker|podman)\s+login{between}-p\s*){JOINED}"),
            "${1}***",
        ),
        kind(
            &["curl", "wget"],
            &format!(r#"(\b(?:curl|wget){between}(?:-u|--user)[\s=]*['"]?(?u:[^\s:'"]+):){FIELD}"#),
            "${1}***",
        ),
        kind(&["pass:"], &format!(r#"(\s-pass(?:in|out)?\s+['"]?pass:){FIELD}"#), "${1}***"),
    ]
}

fn with_a_form_of_their_own() -> Vec<Kind> {
    let exact = |marks: &'static [&'static str], pattern: &str| Kind {
        marks,
        pattern: format!("(?-u){pattern}"),
        kept: "***",
    };
    vec![
        exact(&["AKIA", "ASIA"], r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        exact(&["gho_", "ghp_", "ghr_", "ghs_", "ghu_"], r"\bgh[oprsu]_[A-Za-z0-9]{20,}"),
        exact(&["github_pat_"], r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
        exact(&["glpat-"], r"\bglpat-[A-Za-z0-9_-]{20,}"),
        exact(&["sk-"], r"\bsk-(?:[A-Za-z]{2,8}[0-9]{0,2}-)*[A-Za-z0-9_]{16,}[A-Za-z0-9_-]*"),
        exact(&["xox"], r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        exact(&["AIza"], r"\bAIza[A-Za-z0-9_-]{35}"),
        exact(&["npm_", "hf_"], r"\b(?:npm|hf)_[A-Za-z0-9]{30,}"),
        exact(&["eyJ"], r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    ]
}
