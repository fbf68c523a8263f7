//! One client, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Handler;
use super::answer::TOO_SLOW;
use super::crowd::{Phase, Visitor, Word};
use super::door::Door;
use super::stream::{Arrival, Stream, Wire};

/// The longest head. Also what of a connection is read or written at a time, so that
/// thousands of them cost little.
const BUFFER_BYTES: usize = 8 * 1024;
/// What still comes after the last answer is thrown away in pieces of this size.
const PIECE_BYTES: usize = 4096;

/// Answers a client's requests, one after the other, until one of the two goes.
pub async fn converse<H: Handler>(arrival: Arrival, visitor: Visitor, door: Rc<Door<H>>) {
    let stream = tokio::select! {
        biased;
        // What is no TLS gets no answer.
        ready = shake(arrival, &visitor) => match ready { Ok(stream) => stream, Err(_) => return },
        _ = visitor.told() => return,
    };
    let pid = stream.peer();
    let wire = TokioIo::new(Wire::new(stream, Rc::clone(&visitor)));
    let service = service_fn(|request| {
        let answer = door.answer(request, pid, &visitor);
        // To be had back before its end, a connection has to be one that can be moved.
        Box::pin(async { Ok::<_, Infallible>(answer.await) })
    });
    let mut http = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        // Whoever has sent a whole question is judged and answered, and may be done sending.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(wire, service);
    let mut finishing = false;
    loop {
        let word = tokio::select! {
            biased;
            // What is wrong with a request was told to who made it.
            _ = poll_fn(|context| http.poll_without_shutdown(context)) => break,
            word = visitor.told() => word,
        };
        match word {
            // A word may come just after what it was said for the want of.
            Word::TooSlow if visitor.phase() != Phase::Asking => {}
            Word::Go if !visitor.has_just_asked() => return,
            Word::TooSlow => {
                let mut wire = http.into_parts().io.into_inner();
                let said = wire.write_all(TOO_SLOW.text().as_bytes()).await;
                if said.is_ok() {
                    leave(wire, &visitor).await;
                }
                return;
            }
            Word::Go | Word::Finish => {
                finishing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
        }
    }
    let wire = http.into_parts().io.into_inner();
    if !finishing && !wire.is_over() {
        leave(wire, &visitor).await;
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
