//! What the library leaves in a process after load.

use tempfile::TempDir;

use crate::probes::{self, Linked};
use crate::support::{Compiler, Run, Sandbox};

#[test]
#[ignore = "belongs to make test-full"]
fn errno_is_untouched_and_what_was_read_is_read_only() {
    for compiler in [Compiler::System, Compiler::Musl] {
        if !probes::has(compiler) {
            continue;
        }
        let built = TempDir::new().expect("a temporary directory");
        let load = probes::compiled(built.path(), "load", compiler, Linked::Dynamically);
        let sandbox = Sandbox::new();
        let words = [load.to_str().expect("text"), "hush"];
        let bare = Run::bare(&sandbox, &words).finish().success();
        assert_eq!(bare.stdout, "errno 0\n", "{compiler:?}");
        // Resolving the name sets errno: the C library opens files that do not exist.
        let run = Run::guarded(&sandbox, "http://no-such-host.invalid:1", &words)
            .env("RAMPART_TOKEN", "hush");
        assert_eq!(run.finish().success().stdout, "errno 0 r--p\n", "{compiler:?}");
    }
}
