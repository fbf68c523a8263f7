//! The environment of the guarded command.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rampart_core::host::Os;
use rampart_core::settings::Refusal;

use crate::failure::Failure;
use crate::library;
use crate::mode::Mode;
use crate::token::Token;

/// The loader's variable that lists libraries to preload.
pub const PRELOAD: &str = match Os::HERE.preload_variable().to_str() {
    Ok(name) => name,
    Err(_) => unreachable!(),
};

/// The variable whose value identifies a run's processes.
pub const URL: &str = "RAMPART_URL";

/// The variable that says what the library reports on stderr.
const NOTICE: &str = "RAMPART_NOTICE";

/// An environment variable of this process; an empty one counts as unset.
///
/// # Errors
/// It is not UTF-8.
pub fn variable(name: &str) -> Result<Option<String>, Failure> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
}

/// Whether this process is guarded. The library restores the preload list in every environment, so
/// this cannot be unset by accident.
pub fn is_guarded() -> bool {
    std::env::var_os(PRELOAD).is_some_and(|list| {
        list.as_bytes().windows(b"librampart.".len()).any(|part| part == b"librampart.")
    })
}

/// Fails in a guarded process: an agent must not allow itself what it was refused, nor change its
/// guard.
///
/// # Errors
/// This process is guarded.
pub fn refuse_guarded(what: &str) -> Result<(), Failure> {
    if is_guarded() {
        return Err(Failure::cannot_run(format!(
            "`rampart {what}` is for the person at the keyboard, and this process is guarded"
        )));
    }
    Ok(())
}

/// Whether refusals are not to be reported.
#[cfg(target_os = "linux")]
pub fn is_silent() -> bool {
    std::env::var_os(NOTICE).is_some_and(|value| value == "0")
}

/// The library's settings in the guarded command and its descendants.
pub struct Guard<'a> {
    pub library: &'a Path,
    /// `None` if no server is asked.
    pub url: Option<&'a str>,
    pub token: Option<&'a Token>,
    /// The resolved address if the URL has a host name.
    pub address: Option<SocketAddr>,
    pub mode: Mode,
    pub fail_open: bool,
    pub agent: &'a OsStr,
    pub session: &'a OsStr,
    pub debug: bool,
    /// Whether a server answered at the start: losing it later is then worth a notice.
    pub is_reached: bool,
    /// The value of `RAMPART_SEALED`: the mark of a sealed run, or that it is known not to be sealed.
    pub sealed: Option<String>,
    pub refusal: Refusal,
    /// How long to wait for a person's answer, in milliseconds; `None` if nobody is asked.
    pub ask_ms: Option<u32>,
}

/// A variable and its new value; `None` removes it.
type Change = (&'static str, Option<OsString>);

impl Guard<'_> {
    /// Changes this process's environment, right before the exec.
    pub fn enter(&self) {
        for (name, value) in self.changes(std::env::var_os(PRELOAD).as_deref()) {
            // SAFETY: this process has a single thread.
            unsafe {
                // Removed first: if a variable is there twice, readers disagree on which one
                // counts.
                std::env::remove_var(name);
                if let Some(value) = value {
                    std::env::set_var(name, value);
                }
            }
        }
    }

    fn changes(&self, preloaded: Option<&OsStr>) -> Vec<Change> {
        let mut changes = vec![
            (PRELOAD, Some(preload_list(self.library, preloaded))),
            ("RAMPART_MODE", Some(self.mode.name().into())),
            ("RAMPART_FAIL_OPEN", Some(if self.fail_open { "1" } else { "0" }.into())),
            ("RAMPART_REFUSAL", Some(self.refusal.as_str().into())),
            ("RAMPART_ASK_MS", self.ask_ms.map(|ms| ms.to_string().into())),
            ("RAMPART_AGENT", Some(self.agent.to_owned())),
            ("RAMPART_SESSION", Some(self.session.to_owned())),
            ("RAMPART_ADDRESS", self.address.map(|address| address.to_string().into())),
            ("RAMPART_SEALED", self.sealed.as_ref().map(Into::into)),
        ];
        if let Some(url) = self.url {
            changes.push((URL, Some(url.into())));
            changes.push(("RAMPART_TOKEN", self.token.map(|token| token.reveal().into())));
        }
        if self.is_reached && std::env::var_os(NOTICE).is_none_or(|value| value.is_empty()) {
            changes.push((NOTICE, Some("1".into())));
        }
        if self.debug {
            changes.push(("RAMPART_DEBUG", Some("1".into())));
        }
        changes
    }
}

/// The library first, then what was listed before, without other copies of the library.
fn preload_list(library: &Path, before: Option<&OsStr>) -> OsString {
    let name = library::file_name();
    let is_rampart = |entry: &[u8]| {
        Path::new(OsStr::from_bytes(entry)).file_name() == Some(OsStr::new(&name))
            || entry == library.as_os_str().as_bytes()
    };
    let mut list = library.as_os_str().as_bytes().to_vec();
    let before = before.unwrap_or_default().as_bytes();
    for entry in Os::HERE.libraries(before).filter(|entry| !is_rampart(entry)) {
        list.push(b':');
        list.extend_from_slice(entry);
    }
    OsString::from_vec(list)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use rampart_core::settings::Refusal;

    use super::Guard;
    use crate::mode::Mode;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_library_comes_first_and_once_and_others_stay() {
        let library = "/l/librampart.so";
        for (before, after) in [
            (None, "/l/librampart.so"),
            (Some(""), "/l/librampart.so"),
            (Some("/x.so"), "/l/librampart.so:/x.so"),
            (Some("/x.so /y.so"), "/l/librampart.so:/x.so:/y.so"),
            (Some("/x.so:/l/librampart.so:/y.so"), "/l/librampart.so:/x.so:/y.so"),
            (Some("/old/librampart.so"), "/l/librampart.so"),
            (Some("librampart.so:/y.so"), "/l/librampart.so:/y.so"),
            (Some(":/x.so::"), "/l/librampart.so:/x.so"),
        ] {
            let list = super::preload_list(Path::new(library), before.map(OsStr::new));
            assert_eq!(list, after, "{before:?}");
        }
    }

    #[test]
    fn a_stale_address_and_a_foreign_token_are_removed() {
        let guard = Guard {
            library: Path::new("/l/librampart.so"),
            url: Some("http://h"),
            token: None,
            address: None,
            mode: Mode::Monitor,
            fail_open: false,
            agent: OsStr::new("a"),
            session: OsStr::new("s"),
            debug: false,
            is_reached: true,
            sealed: None,
            refusal: Refusal::Shell,
            ask_ms: Some(1000),
        };
        let changes = guard.changes(None);
        let value = |name: &str| {
            let change = changes.iter().find(|(changed, _)| *changed == name);
            change.map(|(_, value)| value.as_deref().and_then(OsStr::to_str).map(str::to_owned))
        };
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(value("RAMPART_ADDRESS"), Some(None));
        assert_eq!(value("RAMPART_SEALED"), Some(None));
        assert_eq!(value("RAMPART_TOKEN"), Some(None));
        assert_eq!(value("RAMPART_URL"), some("http://h"));
        assert_eq!(value("RAMPART_MODE"), some("monitor"));
        assert_eq!(value("RAMPART_FAIL_OPEN"), some("0"));
        assert_eq!(value("RAMPART_REFUSAL"), some("shell"));
        assert_eq!(value("RAMPART_ASK_MS"), some("1000"));
        assert_eq!(value("RAMPART_DEBUG"), None);
        assert_eq!(value("RAMPART_NOTICE"), some("1"));
    }
}
