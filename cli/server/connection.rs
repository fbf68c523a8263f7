//! One client, from its first byte to its last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::admission::Admission;
use super::answer::{Handler, Refusal, TOO_SLOW};
use super::asker::Asker;
use super::connections::{Phase, Visitor, Word};
use super::stream::{Arrival, Stream, Wire};

/// The longest head, and the size of a connection's buffers, small so that thousands cost little.
const BUFFER_BYTES: usize = 8 * 1024;
/// The buffer for data that is discarded after the last answer.
const PIECE_BYTES: usize = 4096;

/// Answers a client's requests one after the other, until either side closes.
pub async fn converse<H: Handler>(arrival: Arrival, visitor: Visitor, admission: Rc<Admission<H>>) {
    let stream = tokio::select! {
        biased;
        // A failed TLS handshake gets no answer.
        ready = shake(arrival, &visitor) => match ready { Ok(stream) => stream, Err(_) => return },
        _ = visitor.told() => return,
    };
    let peer = stream.peer();
    let stream = Rc::new(RefCell::new(stream));
    let asker = Asker::new(peer, Rc::clone(&stream), Rc::clone(&visitor));
    let mut wire = Wire::new(stream, Rc::clone(&visitor));
    loop {
        // The HTTP state is freed before the connection rests.
        let spoken = Box::pin(speak(wire, &asker, &visitor, &admission)).await;
        let Some(mut rested) = spoken else { return };
        if !matches!(rest(&mut rested, &visitor).await, Ok(true)) {
            return;
        }
        wire = rested;
    }
}

/// Answers requests until the connection ends, or is to rest: then returns it.
async fn speak<H: Handler>(
    wire: Wire,
    asker: &Asker,
    visitor: &Visitor,
    admission: &Admission<H>,
) -> Option<Wire> {
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
        .serve_connection(TokioIo::new(wire), service);
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
                let mut wire = parts.io.into_inner();
                // The previous read may include the beginning of the next request.
                wire.put_back(&parts.read_buf);
                return Some(wire);
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

/// Waits for the next request; `false` if there will be none.
async fn rest(wire: &mut Wire, visitor: &Visitor) -> io::Result<bool> {
    loop {
        let word = tokio::select! {
            biased;
            come = wire.wait() => return come,
            word = visitor.told() => word,
        };
        if matches!(word, Word::Go | Word::Finish) {
            return Ok(false);
        }
    }
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

/// Performs the TLS handshake, if there is one, within a request's time limit.
async fn shake(arrival: Arrival, visitor: &Visitor) -> io::Result<Stream> {
    if matches!(arrival, Arrival::Shaking(_)) {
        visitor.enter(Phase::Asking);
    }
    let stream = arrival.ready().await?;
    visitor.enter(Phase::New);
    Ok(stream)
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
