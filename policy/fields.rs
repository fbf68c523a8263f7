//! What a question says that rules may be about: one table, by which a [`Call`](crate::Call) has
//! its members, and the server reads a question and writes its line of the audit.

/// Hands the fields of `POST /v1/preflight/exec` to the macro `$to`, those of the body and then
/// those of `params` (`docs/protocol.md`).
///
/// A line is `NAME: TYPE => SEEN;`: the name in the JSON, what the server reads there, which may
/// be absent, and what a [`Call`](crate::Call) has of it. What is `audited` is in the audit by
/// its name. Whatever else is given is handed on behind them.
#[macro_export]
macro_rules! fields {
    ($to:ident $($more:tt)*) => {
        $to! {
            body {
                /// Name of the agent.
                agent: Text<'a> => &'a str;
                /// Session of the agent.
                session: Text<'a> => &'a str;
                /// Working directory of the caller where it is known.
                cwd: Text<'a> => Option<&'a str>, audited;
                /// How many agents started one another down to this one, where it is known.
                agent_depth: u32 => Option<u32>, audited;
            }
            params {
                /// What the command is given as.
                form: Text<'a> => Form;
                /// What the program is called where that decides what it does.
                argv0: Text<'a> => Option<&'a str>;
                /// How much will be seen of the program, one of `COVERAGES`, where it is known.
                coverage: Text<'a> => Option<&'a str>, audited;
            }
            $($more)*
        }
    };
}
