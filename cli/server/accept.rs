//! Accepts clients while the server runs, and finishes the answers under way when it ends.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::admission::Admission;
use super::answer::Handler;
use super::connection;
use super::connections::{self, Connections};
use super::limits;
use super::listen::Listener;
use crate::failure::Failure;
use crate::token::Token;

/// How long answers under way may take once the server ends.
const ENDING_TIME: Duration = Duration::from_secs(1);
/// How many clients are accepted in a row before connected ones get their turn.
const ACCEPTS_A_TURN: usize = 16;
/// How long to wait if the system lacks the resources to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads for work that blocks: name lookups, long commands.
const BLOCKING_THREADS: usize = 4;

/// A server's runtime: a single thread, and a few more for work that blocks.
///
/// # Errors
/// The runtime cannot be set up.
pub fn runtime() -> Result<LocalRuntime, Failure> {
    limits::outlast();
    if !connections::has_descriptors() {
        return Err(Failure::new(
            "cannot set up the server: too few file descriptors are allowed (ulimit -n)",
        ));
    }
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build_local(LocalOptions::default())
        .map_err(|error| Failure::new(format!("cannot set up the server: {error}")))
}

/// A server that is ready to run.
pub struct Server {
    listeners: Vec<Listener>,
    token: Token,
    connections: Rc<Connections>,
}

impl Server {
    /// A server for clients that show this token. `reserved` descriptors are left free for other
    /// uses.
    pub fn new(listeners: Vec<Listener>, token: Token, reserved: usize) -> Self {
        Self { listeners, token, connections: Connections::new(reserved) }
    }

    /// Its connections.
    pub fn connections(&self) -> Rc<Connections> {
        Rc::clone(&self.connections)
    }

    /// Serves until `shutdown` resolves, and then finishes the answers under way.
    pub async fn run<H: Handler>(self, handler: H, shutdown: impl Future<Output = ()>) {
        let Self { listeners, token, connections } = self;
        let admission = Rc::new(Admission::new(token, handler));
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn_local(accept(listener, Rc::clone(&connections), Rc::clone(&admission)));
        }
        tokio::select! {
            () = shutdown => {}
            () = connections.watch() => {}
        }
        accepting.shutdown().await;
        connections.finish(ENDING_TIME).await;
    }
}

/// Accepts clients, forever.
async fn accept<H: Handler>(
    listener: Listener,
    connections: Rc<Connections>,
    admission: Rc<Admission<H>>,
) {
    loop {
        for _ in 0..ACCEPTS_A_TURN {
            match listener.accept().await {
                Ok(arrival) => {
                    connections.place().await;
                    connection::welcome(arrival, connections.enter(), Rc::clone(&admission));
                    give_way().await;
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error)
                    if error.raw_os_error() == Some(libc::EMFILE) && connections.make_place() =>
                {
                    break;
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
        yield_now().await;
    }
}

/// Lets the tasks that are ready run, so that a client has its answer before the next is looked for.
/// (Tokio's `yield_now` looks at the poller first, which is a system call.)
async fn give_way() {
    let mut is_done = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_done, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whether the error only means that this client has gone (accept(2)).
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EINTR | libc::EPERM | libc::EPROTO)
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;
    use std::thread::spawn;
    use std::time::Duration;

    use hyper::StatusCode;
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::{Handler, Listener, Server, runtime};
    use crate::server::answer::{AdmittedRequest, Answer};
    use crate::token::Token;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const SLOW: Duration = Duration::from_millis(300);

    /// Panics on one question and is slow with another.
    struct Faulty;

    impl Handler for Faulty {
        async fn answer(&self, asked: AdmittedRequest) -> Answer {
            match &*asked.body {
                b"fail" => panic!("a fault of the handler"),
                b"late" => {
                    sleep(SLOW).await;
                    panic!("a fault of the handler, later");
                }
                b"slow" => sleep(2 * SLOW).await,
                _ => {}
            }
            Answer { status: StatusCode::OK, body: asked.body }
        }
    }

    fn client(socket: &Path) -> UnixStream {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// The answer to a question of four bytes, or as much of it as came.
    fn ask(stream: &mut UnixStream, question: &str) -> String {
        let head = "POST /v1/preflight/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n";
        let request = format!("{head}Content-Length: 4\r\n\r\n{question}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(format!("\r\n\r\n{question}").as_bytes())
            && stream.read(&mut byte).unwrap_or(0) == 1
        {
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_fault_in_the_turn_of_one_client_reaches_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (over, ended) = oneshot::channel();
        let server = spawn(move || {
            let runtime = runtime().unwrap();
            let entered = runtime.enter();
            let listener = Listener::unix(listener).unwrap();
            drop(entered);
            let server = Server::new(vec![listener], Token::new("t").unwrap(), 0);
            let connections = server.connections();
            runtime.block_on(server.run(Faulty, async { drop(ended.await) }));
            connections.is_empty()
        });
        let whole = |answer: &str, question: &str| {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{question}: {answer:?}");
            assert!(answer.ends_with(&format!("\r\n\r\n{question}")), "{question}: {answer:?}");
        };
        let mut kept = client(&socket);
        whole(&ask(&mut kept, "fine"), "fine");
        let mut slow = client(&socket);
        let slow = spawn(move || ask(&mut slow, "slow"));
        let mut late = client(&socket);
        let late = spawn(move || ask(&mut late, "late"));
        for _ in 0..20 {
            // No partial answer either: the connection ends.
            assert_eq!(ask(&mut client(&socket), "fail"), "");
            whole(&ask(&mut kept, "fine"), "fine");
            whole(&ask(&mut client(&socket), "also"), "also");
        }
        assert_eq!(late.join().unwrap(), "");
        whole(&slow.join().unwrap(), "slow");
        whole(&ask(&mut kept, "fine"), "fine");
        drop(kept);
        over.send(()).unwrap();
        assert!(server.join().unwrap(), "nobody who failed is left among the connected");
    }
}
