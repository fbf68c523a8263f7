//! Who is told of decisions: what a policy file says by `notify`, and a rule by `webhook`.

use crate::Action;
use crate::error::Problem;
use crate::format::{Receiver, action};
use crate::value::each;
use serde_saphyr::Spanned;

/// What the receiver understands, as `platform` names it or the URL tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// An event with its members.
    Generic,
    /// A text for a channel of Slack's, or of what takes the same.
    Slack,
    /// A text for a channel of Discord's.
    Discord,
}

/// A URL that is told of decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// `http://…` or `https://…`.
    pub url: String,
    /// What the receiver understands.
    pub platform: Platform,
    /// Of what it is told.
    on: Vec<Action>,
}

impl Notify {
    /// Whether it is told of decisions of this kind.
    #[must_use]
    pub fn is_for(&self, action: Action) -> bool {
        self.on.contains(&action)
    }

    /// The receiver that a rule names, which is told of what waits by that rule.
    #[must_use]
    pub(crate) fn of_rule(url: &str) -> Option<Self> {
        let url = url.trim().to_owned();
        is_usable(&url).then(|| Self { platform: Platform::of(&url), url, on: vec![Action::Ask] })
    }

    /// Reads what a file says, and adds what looks wrong with it.
    pub(crate) fn read(written: &Spanned<Receiver>, warnings: &mut Vec<Problem>) -> Option<Self> {
        let Receiver { url, platform, on, .. } = &written.value;
        let mut warn = |text: String| warnings.push(Problem::new(written.referenced, text));
        let url = url.as_deref().unwrap_or_default().trim();
        if !is_usable(url) {
            warn("`notify` tells nobody: its `url` is not http://HOST… or https://HOST…, without a user's name".into());
            return None;
        }
        let word = platform.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
        let platform = match word.as_str() {
            "" | "auto" => Platform::of(url),
            "slack" | "teams" => Platform::Slack,
            "discord" => Platform::Discord,
            "webhook" | "generic" | "openclaw" => Platform::Generic,
            _ => {
                warn(format!(
                    "`{word}` is no `platform` that is known here: `notify` sends an event as to `webhook`"
                ));
                Platform::Generic
            }
        };
        let mut kinds = Vec::new();
        for (word, at) in on.iter().flat_map(each) {
            match action(word.trim()) {
                Ok(entry) => kinds.push(entry.action()),
                Err(what) => warnings.push(Problem::new(at, what)),
            }
        }
        if kinds.is_empty() {
            kinds = vec![Action::Deny, Action::Ask];
        }
        Some(Self { url: url.to_owned(), platform, on: kinds })
    }
}

impl Platform {
    /// By the hosts that are known.
    fn of(url: &str) -> Self {
        let url = url.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| url.contains(part));
        if has(&["hooks.slack.com", "webhook.office.com", "outlook.office.com"]) {
            Self::Slack
        } else if has(&["discord.com/api/webhooks", "discordapp.com/api/webhooks"]) {
            Self::Discord
        } else {
            Self::Generic
        }
    }
}

/// Whether it can be called: a scheme, a host, and nothing that would have to be sent apart.
fn is_usable(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty()
        && !host.contains('@')
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}
