//! One client, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_rustls::Accept;

use super::admission::Admission;
use super::answer::{Handler, Refusal, TOO_SLOW};
use super::asker::Asker;
use super::connections::{Phase, Visitor, Word};
use super::stream::{Arrival, Stream, Wire};

/// The longest head, and the size of a connection's buffers, small so that thousands cost little.
const BUFFER_BYTES: usize = 8 * 1024;
/// The buffer for data that is discarded after the last answer.
const PIECE_BYTES: usize = 4096;

/// A client that speaks or rests.
struct Client {
    asker: Asker,
    visitor: Visitor,
}

impl Client {
    fn new(stream: Stream, visitor: Visitor) -> Self {
        Self { asker: Asker::new(stream, Rc::clone(&visitor)), visitor }
    }
}

/// Answers a new client's requests, on a task of its own.
pub fn welcome<H: Handler>(arrival: Arrival, visitor: Visitor, admission: Rc<Admission<H>>) {
    match arrival {
        Arrival::Plain(stream) => begin(Client::new(stream, visitor), admission),
        Arrival::Shaking(shaking) => {
            spawn_local(shake(shaking, visitor, admission));
        }
    }
}

/// Most clients have sent their question by now; the others cost little until they do.
fn begin<H: Handler>(client: Client, admission: Rc<Admission<H>>) {
    match client.asker.poll_first(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(unread)) if !unread.is_empty() => {
            spawn_local(converse(client, unread, admission));
        }
        Poll::Ready(_) => {}
        Poll::Pending => {
            spawn_local(rest(client, admission));
        }
    }
}

/// Performs the TLS handshake within a request's time limit. A failed one gets no answer.
async fn shake<H: Handler>(
    shaking: Box<Accept<TcpStream>>,
    visitor: Visitor,
    admission: Rc<Admission<H>>,
) {
    visitor.enter(Phase::Asking);
    let shaken = tokio::select! {
        biased;
        shaken = shaking => shaken,
        _ = visitor.told() => return,
    };
    if let Ok(stream) = shaken {
        visitor.enter(Phase::New);
        begin(Client::new(Stream::Tls(Box::new(stream)), visitor), admission);
    }
}

/// Answers a client's requests one after the other, until either side closes or it is to rest.
/// `unread` has been received before.
async fn converse<H: Handler>(client: Client, mut unread: Bytes, admission: Rc<Admission<H>>) {
    while let Some(left) = speak(&client, unread, &admission).await {
        if left.is_empty() {
            // On a task of its own, which is a fraction of the size of this one.
            spawn_local(rest(client, admission));
            return;
        }
        unread = left;
    }
}

/// Waits for the next request, with nothing but the socket.
async fn rest<H: Handler>(client: Client, admission: Rc<Admission<H>>) {
    loop {
        tokio::select! {
            biased;
            come = poll_fn(|context| client.asker.poll_first(context)) => {
                if let Ok(unread) = come && !unread.is_empty() {
                    spawn_local(converse(client, unread, admission));
                }
                return;
            }
            word = client.visitor.told() => if matches!(word, Word::Go | Word::Finish) { return },
        }
    }
}

/// Answers requests until the connection ends, or is to rest: then returns what was received of
/// the next one.
async fn speak<H: Handler>(
    Client { asker, visitor }: &Client,
    unread: Bytes,
    admission: &Admission<H>,
) -> Option<Bytes> {
    let _awake = visitor.stay_awake();
    let service = service_fn(|request| {
        let answer = admission.answer(request, asker, visitor);
        // Boxed, because `poll_without_shutdown` needs a service whose futures are `Unpin`.
        Box::pin(async { Ok::<_, Infallible>(answer.await) })
    });
    let mut http = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        // A client may shut down its sending side after a complete request, and still gets its
        // answer.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(asker.wire(unread)), service);
    let mut finishing = false;
    loop {
        let word = tokio::select! {
            biased;
            _ = poll_fn(|context| http.poll_without_shutdown(context)) => break,
            word = visitor.told() => word,
        };
        match word {
            // The request may have become complete just before this arrived.
            Word::TooSlow if visitor.phase() != Phase::Asking => {}
            Word::Rest if !matches!(visitor.phase(), Phase::New | Phase::Idle) => {}
            Word::Rest => {
                let parts = http.into_parts();
                // The previous read may include the beginning of the next request.
                return Some(parts.io.into_inner().into_unread(&parts.read_buf));
            }
            Word::Go if !visitor.has_just_asked() => return None,
            Word::TooSlow => {
                refuse(http.into_parts().io.into_inner(), TOO_SLOW, visitor).await;
                return None;
            }
            Word::Go | Word::Finish => {
                finishing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
        }
    }
    let wire = http.into_parts().io.into_inner();
    if let Some(status) = wire.verdict() {
        refuse(wire, Refusal::of_head(status), visitor).await;
    } else if !finishing && !wire.is_over() {
        leave(wire, visitor).await;
    }
    None
}

/// Answers a request that could not be parsed, and closes.
async fn refuse(mut wire: Wire, refusal: Refusal, visitor: &Visitor) {
    visitor.enter(Phase::Sending);
    let text = refusal.text();
    let sent = tokio::select! {
        biased;
        sent = wire.write_all(text.as_bytes()) => sent.is_ok(),
        _ = visitor.told() => false,
    };
    if sent {
        leave(wire, visitor).await;
    }
}

/// Discards what still arrives: closing a socket with unread data resets the connection, and the
/// client may lose the answer.
async fn leave(mut wire: Wire, visitor: &Visitor) {
    visitor.enter(Phase::Leaving);
    if wire.shutdown().await.is_err() {
        return;
    }
    // On the heap: it would make every connection's task larger.
    let mut piece = vec![0; PIECE_BYTES];
    let all = async { while wire.read(&mut piece).await.is_ok_and(|count| count > 0) {} };
    tokio::select! {
        () = all => {}
        _ = visitor.told() => {}
    }
}
