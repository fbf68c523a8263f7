//! A body that comes in chunks, put together in the place where it was read to.

use httparse::{Status as Parsed, parse_chunk_size};

use super::http::{BAD_CHUNK, BODY_LIMIT, Refusal, TOO_LARGE};

const CHUNK_LINE_LIMIT: usize = 1024;
const TRAILER_LIMIT: usize = 8 * 1024;

/// How far a chunked body is decoded. The decoded bytes move to the body's front,
/// so that the chunk lines take no room.
#[derive(Debug, Default)]
pub struct Chunks {
    decoded: usize,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Size,
    Data(usize),
    LineEnd,
    Trailer,
}

/// Where the decoding of a chunked body stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// More has to come; so many bytes of the body are still needed.
    Partial { kept: usize },
    /// All is there: the length of the body, and what it took on the wire after
    /// the last move.
    Whole { body: usize, wire: usize },
}

impl Chunks {
    /// Decodes what is there, in place.
    ///
    /// # Errors
    /// The chunks are malformed, or too large together.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Refusal> {
        let mut next = self.decoded;
        loop {
            let rest = &bytes[next..];
            match self.stage {
                Stage::Size => match parse_chunk_size(rest) {
                    Ok(Parsed::Complete((line, size))) => {
                        next += line;
                        let size = usize::try_from(size).unwrap_or(usize::MAX);
                        if size > BODY_LIMIT - self.decoded {
                            return Err(TOO_LARGE);
                        }
                        self.stage = if size == 0 { Stage::Trailer } else { Stage::Data(size) };
                    }
                    Ok(Parsed::Partial) if rest.len() <= CHUNK_LINE_LIMIT => break,
                    _ => return Err(BAD_CHUNK),
                },
                Stage::Data(left) => {
                    let count = left.min(rest.len());
                    bytes.copy_within(next..next + count, self.decoded);
                    self.decoded += count;
                    next += count;
                    if count < left {
                        self.stage = Stage::Data(left - count);
                        break;
                    }
                    self.stage = Stage::LineEnd;
                }
                Stage::LineEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        next += 2;
                        self.stage = Stage::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(BAD_CHUNK),
                },
                Stage::Trailer => match trailer(rest)? {
                    Some(length) => {
                        return Ok(Decoded::Whole { body: self.decoded, wire: next + length });
                    }
                    None => break,
                },
            }
        }
        bytes.copy_within(next.., self.decoded);
        Ok(Decoded::Partial { kept: self.decoded + bytes.len() - next })
    }
}

/// The length of the fields after the last chunk, which nobody needs here.
fn trailer(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let end = bytes.windows(4).take(TRAILER_LIMIT).position(|window| window == b"\r\n\r\n");
    match end {
        Some(end) => Ok(Some(end + 4)),
        None if bytes.len() <= TRAILER_LIMIT => Ok(None),
        None => Err(BAD_CHUNK),
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, Decoded, Refusal};

    /// A body, and what comes after it.
    type Pieces = (Vec<u8>, Vec<u8>);

    /// Feeds a body in pieces of this size, as a connection does.
    fn decode(wire: &[u8], piece: usize) -> Result<Option<Pieces>, Refusal> {
        let (mut chunks, mut bytes) = (Chunks::default(), Vec::new());
        let mut pieces = wire.chunks(piece);
        while let Some(next) = pieces.next() {
            bytes.extend_from_slice(next);
            match chunks.decode(&mut bytes)? {
                Decoded::Partial { kept } => bytes.truncate(kept),
                Decoded::Whole { body, wire } => {
                    let mut rest = bytes[wire..].to_vec();
                    rest.extend(pieces.flatten());
                    return Ok(Some((bytes[..body].to_vec(), rest)));
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_decode_the_same_in_pieces_of_any_size() {
        let wire = b"4\r\nRust\r\nB;x=y\r\n and HTTP/1\r\n0\r\nTrailer: z\r\n\r\nGET";
        for piece in 1..=wire.len() {
            let decoded = decode(wire, piece).unwrap().unwrap();
            assert_eq!(decoded, (b"Rust and HTTP/1".to_vec(), b"GET".to_vec()), "{piece}");
        }
    }

    #[test]
    fn each_fault_of_a_chunk_is_found() {
        for (wire, status) in [
            (&b"x\r\n"[..], 400),
            (b"2\r\nabc\r\n", 400),
            (b"-1\r\n", 400),
            (b"11111111111111111\r\n", 400),
            (b"1000001\r\n", 413),
            (b"FFFFFFFFFFFFFFFF\r\n", 413),
        ] {
            let found = decode(wire, wire.len()).unwrap_err().status;
            assert_eq!(found, status, "{}", wire.escape_ascii());
        }
        let endless = [b"1;".as_slice(), &[b'x'; 2000]].concat();
        assert_eq!(decode(&endless, 10).unwrap_err().status, 400);
    }
}
