//! What is read without the grammar is read as the grammar reads it.

use rampart_policy::{Call, Explanation, Form, explain};

/// What words are made of.
const PIECES: &[&str] =
    &[" ", "a", "é", "~+", "=", "*", "if", "{}", "{", ",", "'", "\"", "\\", "\n", "$", "#"];

fn explained(command: &str) -> Explanation {
    explain(&Call { agent: "a", session: "s", command, cwd: Some("/w"), ..Call::default() })
}

/// All texts of up to three pieces.
fn texts() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..3 {
        let longer =
            last.iter().flat_map(|text| PIECES.iter().map(move |it| format!("{text}{it}")));
        last = longer.collect();
        all.extend_from_slice(&last);
    }
    all
}

#[test]
fn a_command_is_the_same_whether_or_not_the_grammar_is_needed() {
    let mut as_commands = 0;
    for text in texts() {
        // The empty word makes each a line with a double quote, which is not as an argument
        // list is sent; the line's end is what needs the grammar.
        for line in [format!("cat {text} \"\""), format!("{text}x \"\"")] {
            let (without, with) = (explained(&line), explained(&format!("{line}\n")));
            assert_eq!(without.unparsed.is_some(), with.unparsed.is_some(), "{line:?}");
            if without.unparsed.is_none() {
                as_commands += 1;
                assert_eq!(without.parts[1..], with.parts[1..], "{line:?}");
            }
        }
    }
    assert!(as_commands > 3_000, "{as_commands}");
}

#[test]
fn a_word_is_the_same_whether_or_not_the_parser_is_needed() {
    let mut words = 0;
    // An empty text in quotes of this kind adds nothing to a word but that it is parsed.
    for text in texts().iter().filter(|text| !text.ends_with(['$', '\\', ' ', '\n'])) {
        let quick = explained(&format!("cat x{text};"));
        let parsed = explained(&format!("cat x{text}$'';"));
        if quick.unparsed.is_none() && parsed.unparsed.is_none() {
            words += 1;
            assert_eq!(quick.parts[1].spellings, parsed.parts[1].spellings, "{text:?}");
        }
    }
    assert!(words > 1_000, "{words}");
}

#[test]
fn an_argument_list_of_no_words_is_no_command() {
    let policies = rampart_policy::PolicySet::parse(
        "default_action: deny\npolicies: [{name: all, rules: [{action: allow, when: {default: true}}]}]",
        "p.yaml",
    );
    let call = Call { agent: "a", session: "s", form: Form::Arguments, ..Call::default() };
    for command in ["", " "] {
        let decision = policies.as_ref().map(|it| it.evaluate(&Call { command, ..call }));
        assert!(decision.is_ok_and(|decision| decision.allowed()), "{command:?}");
    }
}
