//! The functions that pass a command line to a shell.

use scripted_server::Server;

use crate::support::{Compiler, Run, Sandbox, System, assert_guarded, probe};

fn start(options: &[&str], function: &str, line: &str) -> Vec<String> {
    let mut words = vec![probe("start", Compiler::System).to_str().expect("text").to_owned()];
    words.extend(options.iter().map(|option| (*option).to_owned()));
    words.extend([function.to_owned(), line.to_owned()]);
    words
}

#[test]
fn what_needs_no_shell_asks_nobody() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    for (options, function, line) in [
        (&["--line=null"][..], "system", "-"),
        (&[], "wordexp", "plain words"),
        (&[], "wordexp", "$HOME ~ ${TMPDIR} 'a b' \"c d\""),
        (&[], "wordexp", "* ?x [a]"),
        (&[], "wordexp", "a | b"),
        (&[], "wordexp", "'"),
        (&[], "wordexp", ""),
        (&[], "wordexp_no_commands", "$(rm x)"),
        (&[], "wordexp_no_commands", "`rm x`"),
        (&[], "wordexp_no_commands", "plain words"),
    ] {
        let words = start(options, function, line);
        let bare = Run::bare(&sandbox, &words).finish().success();
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(guarded.seen(), bare.seen(), "{words:?}");
        assert_eq!(server.take_commands(), [""; 0], "{words:?}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{words:?}");
    }
    assert_guarded(&sandbox, &server);
}

#[test]
fn every_way_to_put_a_command_into_words_is_denied() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    for line in [
        "$(rm x)",
        "`rm x`",
        "\"$(rm x)\"",
        "\"`rm x`\"",
        "${NOTHING:-$(rm x)}",
        "a$(rm x)b",
        "$(( $(rm x) + 1 ))",
        "$(\nrm x)",
    ] {
        let words = start(&[], "wordexp", line);
        Run::bare(&sandbox, &words).finish();
        assert_eq!(sandbox.take_marks(), ["rm x"], "{line:?} is a command");
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        let refused = if System::is_macos() { 3 } else { 4 };
        let told = format!("1x returned {refused} errno 77 status -1000\n");
        assert_eq!(guarded.stdout, told, "{line:?}");
        assert_eq!(server.take_commands(), [line]);
        assert_eq!(sandbox.take_marks(), [""; 0], "{line:?}");
    }
}

#[test]
fn a_line_is_asked_about_unchanged_whatever_it_holds() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let long = format!("true {}", "x".repeat(100_000));
    for line in [
        "",
        " ",
        "true 'a  b' \"c\"\t# é",
        "exit 7",
        "kill -TERM $$",
        "true\nfalse",
        "nonexistent",
        &long,
    ] {
        for function in ["system", "popen"] {
            let words = start(&[], function, line);
            let bare = Run::bare(&sandbox, &words).finish();
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{function} {line:?}");
            let asked = server.take_commands();
            assert_eq!(asked.first().map(String::as_str), Some(line), "{function}");
        }
    }
}

#[test]
fn a_popen_with_a_mode_that_is_none_fails_with_einval() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let popen = probe("popen", Compiler::System);
    let bare = Run::bare(&sandbox, &[&popen]).finish().success();
    let guarded = Run::guarded(&sandbox, &server.url, &[&popen]).finish();
    assert_eq!(guarded.seen(), bare.seen());
    assert_eq!(sandbox.take_marks().len(), 6, "three popens, twice");
    assert!(!server.take_commands().is_empty());
}
