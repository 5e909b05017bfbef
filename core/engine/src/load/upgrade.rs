//! The client's half of the WebSocket upgrade (RFC 6455 section 4.1): one request for all links, and the judgement of answers.
//!
//! All links offer the same key, the example of the RFC, so the answer to it is known and costs no hash. Read next: frame.rs.

use std::fmt::Write;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Headers of an answer; servers that are measured send about six.
const HEADERS: usize = 32;
const MAX_HEAD: usize = 8 * 1024;

pub(super) fn request(host: &str, subprotocol: &str) -> Vec<u8> {
    let mut text = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n"
    );
    if !subprotocol.is_empty() {
        // Writing into a string cannot fail.
        let _ = write!(text, "Sec-WebSocket-Protocol: {subprotocol}\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Bytes of an answer that agrees; None while it is incomplete. Errors are sentences.
pub(super) fn judge(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let size = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the answer to the upgrade does not end".to_owned()),
        Err(error) => return Err(format!("the answer to the upgrade: {error}")),
    };
    match answer.code {
        Some(101) => {}
        code => return Err(format!("the upgrade was answered with {}", code.unwrap_or(0))),
    }
    let accept = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-accept"));
    if accept.is_none_or(|header| header.value != ACCEPT.as_bytes()) {
        return Err("the upgrade was answered without the right Sec-WebSocket-Accept".to_owned());
    }
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, accept: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nUpgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\nrest").into_bytes()
    }

    #[test]
    fn a_good_answer_ends_where_frames_begin() {
        let bytes = answer("101 Switching Protocols", ACCEPT);
        assert_eq!(judge(&bytes), Ok(Some(bytes.len() - 4)));
        assert_eq!(judge(&bytes[..30]), Ok(None));
    }

    #[test]
    fn other_answers_are_told_with_what_is_wrong() {
        assert_eq!(judge(&answer("503 Full", ACCEPT)), Err("the upgrade was answered with 503".to_owned()));
        assert!(judge(&answer("101 Switching Protocols", "other")).is_err());
        assert!(judge(b"hello, this is no HTTP\r\n\r\n").is_err());
        assert!(judge(&[b"HTTP/1.1 101 x\r\n".to_vec(), vec![b'a'; MAX_HEAD]].concat()).is_err());
    }

    #[test]
    fn the_request_offers_a_subprotocol_where_there_is_one() {
        let text = |subprotocol| String::from_utf8(request("127.0.0.1:1", subprotocol)).expect("ASCII");
        assert!(text("longlink.v1").contains("\r\nSec-WebSocket-Protocol: longlink.v1\r\n\r\n"));
        assert!(text("").ends_with(&format!("{KEY}\r\n\r\n")));
    }
}
