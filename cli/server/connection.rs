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

/// The longest head. Also what of a connection is read or written at a time, so that
/// thousands of them cost little.
const BUFFER_BYTES: usize = 8 * 1024;
/// What still comes after the last answer is thrown away in pieces of this size.
const PIECE_BYTES: usize = 4096;

/// Answers a client's requests, one after the other, until one of the two goes.
pub async fn converse<H: Handler>(arrival: Arrival, visitor: Visitor, admission: Rc<Admission<H>>) {
    let stream = tokio::select! {
        biased;
        // What is no TLS gets no answer.
        ready = shake(arrival, &visitor) => match ready { Ok(stream) => stream, Err(_) => return },
        _ = visitor.told() => return,
    };
    let peer = stream.peer();
    let stream = Rc::new(RefCell::new(stream));
    let asker = Asker::new(peer, Rc::clone(&stream), Rc::clone(&visitor));
    let mut wire = Wire::new(stream, Rc::clone(&visitor));
    loop {
        // What it takes to speak HTTP is given back before it rests.
        let spoken = Box::pin(speak(wire, &asker, &visitor, &admission)).await;
        let Some(mut rested) = spoken else { return };
        if !matches!(rest(&mut rested, &visitor).await, Ok(true)) {
            return;
        }
        wire = rested;
    }
}

/// Answers requests until the connection is over, or is to rest.
async fn speak<H: Handler>(
    wire: Wire,
    asker: &Asker,
    visitor: &Visitor,
    admission: &Admission<H>,
) -> Option<Wire> {
    let service = service_fn(|request| {
        let answer = admission.answer(request, asker, visitor);
        // To be had back before its end, a connection has to be one that can be moved.
        Box::pin(async { Ok::<_, Infallible>(answer.await) })
    });
    let mut http = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        // Whoever has sent a whole question is judged and answered, and may be done sending.
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
            // A word may come just after what it was said for the want of.
            Word::TooSlow if visitor.phase() != Phase::Asking => {}
            Word::Rest if !matches!(visitor.phase(), Phase::New | Phase::Idle) => {}
            Word::Rest => {
                let parts = http.into_parts();
                let mut wire = parts.io.into_inner();
                // The beginning of a request may have come with the one before it.
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

/// Waits for the next request; `false`: there will be none.
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

/// Says what is wrong with a request that is none, and goes.
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

/// What comes first is a request's begin, or a handshake, which has to be over in the same time.
async fn shake(arrival: Arrival, visitor: &Visitor) -> io::Result<Stream> {
    if matches!(arrival, Arrival::Shaking(_)) {
        visitor.enter(Phase::Asking);
    }
    let stream = arrival.ready().await?;
    visitor.enter(Phase::New);
    Ok(stream)
}

/// Throws away what still comes: to close a socket with bytes unread would reset the
/// connection, and might take the answer with it.
async fn leave(mut wire: Wire, visitor: &Visitor) {
    visitor.enter(Phase::Leaving);
    if wire.shutdown().await.is_err() {
        return;
    }
    // Not in the task itself, of which there are thousands.
    let mut piece = vec![0; PIECE_BYTES];
    let all = async { while wire.read(&mut piece).await.is_ok_and(|count| count > 0) {} };
    tokio::select! {
        () = all => {}
        _ = visitor.told() => {}
    }
}
