//! The reader of an answer's JSON, against `serde_json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rampart_core::json::Reader;
use rampart_fuzz::oracle;
use rampart_fuzz::pieces::pieces;

fuzz_target!(|body: &[u8]| check(body));

/// However the bytes are split, the verdict is the oracle's.
fn check(body: &[u8]) {
    let expected = oracle::verdict(body);
    assert_eq!(read([body].into_iter()), expected, "in one piece");
    assert_eq!(read(body.chunks(1)), expected, "byte by byte");
    assert_eq!(read(pieces(body)), expected, "in pieces");
}

fn read<'b>(mut pieces: impl Iterator<Item = &'b [u8]>) -> Option<bool> {
    let mut reader = Reader::default();
    pieces.try_for_each(|piece| reader.feed(piece)).ok()?;
    reader.finish().ok()
}
