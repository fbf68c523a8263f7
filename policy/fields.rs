//! What a question says that rules may be about: one table, by which a [`Call`](crate::Call) has
//! its members, the server reads a question and writes its line of the audit, and a test of a
//! policy file says what it is about.

/// Hands the fields of `POST /v1/preflight/exec` to the macro `$to`, those of the body and then
/// those of `params` (`docs/protocol.md`).
///
/// A line is `NAME: TYPE => SEEN;`: the name in the JSON, what is read there, `Text` or `Number`, which
/// may be absent, and what a [`Call`](crate::Call) [has](crate::Seen) of it. What is `audited` is in the audit by
/// its name. Whatever else is given is handed on behind them.
#[macro_export]
macro_rules! fields {
    ($to:ident $($more:tt)*) => {
        $to! {
            body {
                /// Name of the agent.
                agent: Text => &'a str;
                /// Session of the agent.
                session: Text => &'a str;
                /// Working directory of the caller where it is known.
                cwd: Text => Option<&'a str>, audited;
                /// How many agents started one another down to this one, where it is known.
                agent_depth: Number => Option<u32>, audited;
            }
            params {
                /// What the command is given as.
                form: Text => Form;
                /// What the program is called where that decides what it does.
                argv0: Text => Option<&'a str>;
                /// How much will be seen of the program, one of `COVERAGES`, where it is known.
                coverage: Text => Option<&'a str>, audited;
            }
            $($more)*
        }
    };
}

/// What a [`Call`](crate::Call) has of a field that was read as a `T`.
pub trait Seen<'q, T> {
    /// The same, or what stands for a field that is absent.
    fn of(field: Option<&'q T>) -> Self;
}

impl<'q, T: AsRef<str>> Seen<'q, T> for Option<&'q str> {
    fn of(field: Option<&'q T>) -> Self {
        field.map(AsRef::as_ref)
    }
}

impl<'q, T: AsRef<str>> Seen<'q, T> for &'q str {
    fn of(field: Option<&'q T>) -> Self {
        field.map(AsRef::as_ref).unwrap_or_default()
    }
}

impl Seen<'_, u32> for Option<u32> {
    fn of(field: Option<&u32>) -> Self {
        field.copied()
    }
}
