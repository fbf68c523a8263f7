//! Which server is used if none is named, and which servers get this user's token.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::preload::guard;
use crate::server::{Server, TOKEN};
use crate::world::{POLICY, World, finished, stderr, stdout, wait_until};

const SHOW: &str = "echo \"$RAMPART_URL $RAMPART_TOKEN\"";

/// Answers `ok` to every health check, at a free port and at a socket.
const STRANGER: &str = r#"
import http.server, os, socketserver, sys, threading
os.setgroups([]); os.setgid(65534); os.setuid(65534)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"status":"ok"}')
    def address_string(self): return ""
    def log_message(self, *arguments): pass
tcp = socketserver.TCPServer(("127.0.0.1", 0), Handler)
unix = socketserver.UnixStreamServer(sys.argv[1], Handler)
threading.Thread(target=unix.serve_forever, daemon=True).start()
print(tcp.server_address[1], flush=True)
tcp.serve_forever()
"#;

/// Another user's server, until dropped.
struct Stranger {
    process: Child,
    port: String,
}

impl Stranger {
    /// As another user; `None` unless root.
    fn start(world: &World, socket: &Path) -> Option<Self> {
        let script = world.write("stranger.py", STRANGER);
        if !nix::unistd::geteuid().is_root() {
            println!("left out, for it takes root to be another user");
            return None;
        }
        let mut command = Command::new("python3");
        command.arg(script).arg(socket);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { process, port: port.trim().to_owned() })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn world() -> World {
    let world = World::with_library();
    let token = world.write(".rampart/token", TOKEN);
    fs::set_permissions(token, Permissions::from_mode(0o600)).unwrap();
    world
}

fn state(world: &World, port: &str) {
    let state = format!(r#"{{"url":"http://localhost:{port}","port":{port},"pid":1}}"#);
    world.write(".rampart/serve.state", &state);
}

#[test]
fn a_server_of_this_users_own_is_found_by_its_socket_or_its_state() {
    let world = world();
    let socket = world.home().join("serve.sock");
    let mut server = world.rampart(["serve", "--port", "0"]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("its socket", || socket.exists());
    let shown = guard(&world, &[], SHOW);
    assert_eq!(stdout(&shown), format!("unix://{} {TOKEN}\n", socket.display()), "{shown:?}");
    // A second server goes on without that socket, and says so.
    let second = Server::start_plain(&world, &[]);
    second.says("runs will not find this server by themselves");
    drop(second);
    assert_eq!(stdout(&guard(&world, &[], SHOW)), stdout(&shown));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(stdout(&guard(&world, &[], SHOW)).contains(",unix:@"));

    let server = Server::start(&world, &[]);
    state(&world, &server.tcp.port().to_string());
    let shown = stdout(&guard(&world, &[], SHOW));
    assert_eq!(shown, format!("http://localhost:{} {TOKEN}\n", server.tcp.port()));
}

#[test]
fn whoever_listens_at_the_users_socket_and_does_not_answer_is_passed_over() {
    let world = world();
    world.write(".rampart/policy.yaml", POLICY);
    let socket = UnixListener::bind(world.home().join("serve.sock")).unwrap();
    // It hangs up on everybody.
    std::thread::spawn(move || socket.incoming().for_each(drop));
    let output = guard(&world, &[], SHOW);
    assert!(stdout(&output).contains(",unix:@"), "{output:?}");
    assert!(stderr(&output).contains("no policy server of yours answers at"), "{output:?}");
}

#[test]
fn a_server_of_this_users_own_is_found_where_the_go_commands_configuration_says() {
    let world = world();
    let server = Server::start(&world, &[]);
    let url = format!("http://127.0.0.1:{}", server.tcp.port());
    for config in
        [format!("url: {url}\napi: http://127.0.0.1:1\n"), format!("# old\nserve_url: \"{url}\"\n")]
    {
        world.write(".rampart/config.yaml", &config);
        let output = guard(&world, &[], SHOW);
        assert_eq!(stdout(&output), format!("{url} {TOKEN}\n"), "{config}: {output:?}");
    }
    // A named server that is not this user's or does not answer is reported, and so is invalid
    // YAML.
    for (config, said) in [
        ("url: http://127.0.0.1:9\n", "names http://127.0.0.1:9, but no server of yours answers"),
        ("url: https://policy.example\n", "names https://policy.example, but no server of yours"),
        ("url: [\n", "it is ignored"),
    ] {
        world.write(".rampart/config.yaml", config);
        let output = guard(&world, &[], SHOW);
        assert!(stdout(&output).contains(",unix:@"), "{config}: {output:?}");
        assert!(stderr(&output).contains(said), "{config}: {output:?}");
    }
    // The file may be about other things, or empty.
    for config in ["", "learn: {enabled: false}\n", "url:\n"] {
        world.write(".rampart/config.yaml", config);
        let output = guard(&world, &[], SHOW);
        assert!(!stderr(&output).contains("config.yaml"), "{config}: {output:?}");
    }
}

#[test]
fn a_strangers_server_is_asked_nothing_and_shown_no_token() {
    let world = world();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o777)).unwrap();
    let socket = world.path("serve.sock");
    let Some(stranger) = Stranger::start(&world, &socket) else { return };
    fs::rename(&socket, world.home().join("serve.sock")).unwrap();
    state(&world, &stranger.port);
    let shown = stdout(&guard(&world, &[], SHOW));
    assert!(shown.starts_with("unix://") && shown.contains(",unix:@"), "{shown}");
    assert!(!shown.contains(TOKEN), "{shown}");
    // A named one is used, and gets a token only if one is given for it.
    let named = guard(&world, &["--port", &stranger.port], SHOW);
    assert_eq!(stdout(&named), format!("http://127.0.0.1:{} \n", stranger.port));
    assert!(stderr(&named).contains("does not get your token"), "{named:?}");
    let given = guard(&world, &["--port", &stranger.port, "--token", "t"], SHOW);
    assert_eq!(stdout(&given), format!("http://127.0.0.1:{} t\n", stranger.port));
    let doctor = finished(&mut world.rampart(["doctor"]));
    assert!(!stdout(&doctor).contains("yours answers"), "{doctor:?}");
}

#[test]
fn a_token_without_a_server_of_ones_own_is_for_nobody() {
    let world = world();
    let output = guard(&world, &["--token", "t"], "echo ran");
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(2), ""), "{output:?}");
    assert!(stderr(&output).contains("--url"), "{output:?}");
}
