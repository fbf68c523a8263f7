//! Python, which starts programs in many ways.

use scripted_server::Server;

use crate::programs::{APPLES_SHELL, Case, check};
use crate::support::{Run, Sandbox, System, is_for_linux_alone};

const PERMISSION_ERROR: i32 = 1;

/// Imports for each snippet.
const PREAMBLE: &str = "import asyncio, multiprocessing, os, pty, shutil, subprocess, sys, threading\n\
                        from subprocess import run\n\
                        tool = shutil.which('tool')\n";

fn snippets(snippets: &[(&str, i32)], stderr: &str) {
    let sandbox = Sandbox::new();
    for (snippet, denied) in snippets {
        if snippet.contains("os.open(") && System::is_macos() {
            continue; // macOS has no fexecve.
        }
        let script = format!("{PREAMBLE}{snippet}");
        let case = Case { words: &["python3", "-c", &script], denied: *denied };
        let Some(finished) = check(&sandbox, &case) else { return };
        assert!(finished.stderr.contains(stderr), "{snippet}: {finished:#?}");
    }
}

#[test]
fn subprocess_raises_permission_error() {
    snippets(
        &[
            ("run(['tool', 'x'])", PERMISSION_ERROR),
            ("run(['tool', 'x'], executable=tool, env={})", PERMISSION_ERROR),
            ("run(['tool', 'x'], cwd='/')", PERMISSION_ERROR),
            ("run(['tool', 'x'], preexec_fn=lambda: None)", PERMISSION_ERROR),
            ("run(['tool', 'x'], close_fds=False)", PERMISSION_ERROR),
            ("run(['tool', 'x'], pass_fds=[os.dup(1)])", PERMISSION_ERROR),
            ("run(['tool', 'x'], start_new_session=True)", PERMISSION_ERROR),
            ("run(['tool', 'x'], stdin=subprocess.PIPE, capture_output=True)", PERMISSION_ERROR),
            ("subprocess._USE_VFORK = False\nrun(['tool', 'x'])", PERMISSION_ERROR),
            (
                "subprocess._USE_POSIX_SPAWN = True\nrun(['tool', 'x'], executable=tool, close_fds=False)",
                PERMISSION_ERROR,
            ),
            ("for i in range(30):\n  run(['true'])\nrun(['tool', 'x'])", PERMISSION_ERROR),
            (
                "p = subprocess.Popen(['tool', 'x'], stdout=subprocess.PIPE)\nprint(p.communicate())",
                PERMISSION_ERROR,
            ),
            ("os.execv(tool, ['tool', 'x'])", PERMISSION_ERROR),
            ("os.execve(tool, ['tool', 'x'], {})", PERMISSION_ERROR),
            ("os.execvp('tool', ['tool', 'x'])", PERMISSION_ERROR),
            ("os.execlp('tool', 'tool', 'x')", PERMISSION_ERROR),
            ("os.execvpe('tool', ['tool', 'x'], {'PATH': os.environ['PATH']})", PERMISSION_ERROR),
            ("os.execve(os.open(tool, os.O_RDONLY), ['tool', 'x'], {})", PERMISSION_ERROR),
            ("os.waitpid(os.posix_spawn(tool, ['tool', 'x'], {}), 0)", PERMISSION_ERROR),
            ("os.waitpid(os.posix_spawnp('tool', ['tool', 'x'], os.environ), 0)", PERMISSION_ERROR),
            (
                "os.waitpid(os.posix_spawn(tool, ['tool', 'x'], {}, file_actions=[(os.POSIX_SPAWN_DUP2, 1, 5)], setsigmask=[]), 0)",
                PERMISSION_ERROR,
            ),
            (
                "async def f():\n  p = await asyncio.create_subprocess_exec('tool', 'x')\n  return await p.wait()\nsys.exit(asyncio.run(f()))",
                PERMISSION_ERROR,
            ),
            (
                "m = multiprocessing.get_context('spawn').Process(target=run, args=(['tool', 'x'],))\nm.start()\nm.join()\nsys.exit(m.exitcode)",
                PERMISSION_ERROR,
            ),
            (
                "m = multiprocessing.get_context('fork').Process(target=run, args=(['tool', 'x'],))\nm.start()\nm.join()\nsys.exit(m.exitcode)",
                PERMISSION_ERROR,
            ),
            (
                "m = multiprocessing.get_context('forkserver').Process(target=run, args=(['tool', 'x'],))\nm.start()\nm.join()\nsys.exit(m.exitcode)",
                PERMISSION_ERROR,
            ),
        ],
        "PermissionError: [Errno 1] Operation not permitted",
    );
}

#[test]
fn shells_under_python_report_their_status() {
    snippets(
        &[
            (
                "sys.exit(run('tool x', shell=True, executable=shutil.which('bash'), env={'PATH': os.environ['PATH']}).returncode)",
                126,
            ),
            ("sys.exit(0 if os.system('tool x') == 0 else 5)", 5),
            ("sys.exit(os.spawnvp(os.P_WAIT, 'tool', ['tool', 'x']))", 127),
        ],
        "",
    );
}

#[test]
fn the_systems_shell_under_python_reports_its_status() {
    if is_for_linux_alone(APPLES_SHELL) {
        return;
    }
    snippets(
        &[
            ("sys.exit(run('tool x', shell=True).returncode)", 126),
            (
                "os.environ.clear()\nsys.exit(run(f'PATH={os.path.dirname(tool)}; tool x', shell=True).returncode)",
                126,
            ),
            (
                "p = os.popen('tool x')\nprint(p.read())\nsys.exit(os.waitstatus_to_exitcode(p.close() or 0))",
                126,
            ),
            (
                "print(subprocess.getoutput('tool x; true').replace('sh: 1: tool: Operation not permitted', ''))",
                0,
            ),
            (
                "async def f():\n  p = await asyncio.create_subprocess_shell('tool x')\n  return await p.wait()\nsys.exit(asyncio.run(f()))",
                126,
            ),
        ],
        "",
    );
}

#[test]
fn a_program_on_a_terminal_of_its_own_is_checked() {
    let sandbox = Sandbox::new();
    let script = format!("{PREAMBLE}sys.exit(os.waitstatus_to_exitcode(pty.spawn(['tool', 'x'])))");
    let case = Case { words: &["python3", "-c", &script], denied: 1 };
    if let Some(finished) = check(&sandbox, &case) {
        assert!(finished.stdout.contains("PermissionError"), "{finished:#?}");
    }
}

#[test]
fn each_of_eight_threads_gets_its_own_verdicts() {
    let script = format!(
        "{PREAMBLE}\
         wrong = []\n\
         def f(n):\n\
         \x20 for i in range(10):\n\
         \x20   try:\n\
         \x20     ran = run(['tool', str(i)], capture_output=True).returncode == 0\n\
         \x20   except PermissionError:\n\
         \x20     ran = False\n\
         \x20   if ran != (i % 2 == 0): wrong.append((n, i))\n\
         t = [threading.Thread(target=f, args=(n,)) for n in range(8)]\n\
         [x.start() for x in t]; [x.join() for x in t]\n\
         print(wrong)\n"
    );
    let sandbox = Sandbox::new();
    let server = Server::judging(scripted_server::Transport::Tcp, |command| {
        command.starts_with("tool") && command.ends_with(['0', '2', '4', '6', '8'])
    });
    let finished = Run::guarded(&sandbox, &server.url, &["python3", "-c", &script])
        .env("RAMPART_NOTICE", "0")
        .finish()
        .success();
    assert_eq!(finished.stdout, "[]\n");
    assert_eq!(sandbox.take_marks().len(), 40);
    assert_eq!(server.take_requests().len(), 80);
}
