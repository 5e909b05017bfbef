//! The frames that the chat plan speaks, in Protocol Buffers: writes requests, reads answers and events.
//!
//! Borrows everything from the message, allocates nothing, and skips what it does not know. The schema is
//! proto/longlink.proto; proto/vectors holds both sides to it. Read next: `chat.rs`.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

const OPEN_DIRECT: u64 = 11;
const SEND: u64 = 12;
const ACK: u64 = 13;

/// What a frame says. Texts are bytes: they are compared, never shown to people but in complaints.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Error {
        code: u64,
        name: &'a [u8],
        message: &'a [u8],
    },
    Connected,
    /// whole: encoded, for `delivered_to`.
    Conversation {
        id: &'a [u8],
        head: u64,
        whole: &'a [u8],
    },
    Sent {
        seq: u64,
        client_id: &'a [u8],
        duplicate: bool,
    },
    Acked {
        seq: u64,
    },
    Message {
        conversation: &'a [u8],
        seq: u64,
        client_id: &'a [u8],
        text: &'a [u8],
    },
    Delivered {
        conversation: &'a [u8],
        seq: u64,
    },
    Missed {
        events: u64,
    },
    Closing {
        code: u64,
    },
    /// The number of another body; 0 when there is none.
    Other(u64),
}

// Reading --------------------------------------------------------------------------------------------------------------

/// A field's number and value; a number has no bytes.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

/// Fields in their order; a message that breaks off ends with None and leaves bytes behind.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Some(value);
            }
        }
        None
    }

    fn split(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn next(&mut self) -> Option<Field<'a>> {
        let key = self.varint()?;
        let (mut value, mut bytes): (u64, &[u8]) = (0, &[]);
        match key & 7 {
            VARINT => value = self.varint()?,
            FIXED64 => bytes = self.split(8)?,
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                bytes = self.split(length)?;
            }
            FIXED32 => bytes = self.split(4)?,
            _ => return None,
        }
        Some(Field { number: key >> 3, value, bytes })
    }
}

/// The fields 1 to 6 of a message, the last of each number.
#[derive(Default)]
struct Six<'a> {
    values: [u64; 7],
    bytes: [&'a [u8]; 7],
}

fn six(message: &[u8]) -> Option<Six<'_>> {
    let mut six = Six::default();
    let mut fields = Fields { rest: message };
    while !fields.rest.is_empty() {
        let field = fields.next()?;
        if let Ok(at @ 1..=6) = usize::try_from(field.number) {
            (six.values[at], six.bytes[at]) = (field.value, field.bytes);
        }
    }
    Some(six)
}

/// The id and the body of a frame; None when the bytes are no frame.
pub(super) fn read(frame: &[u8]) -> Option<(u64, Body<'_>)> {
    let (mut id, mut number, mut inner): (u64, u64, &[u8]) = (0, 0, &[]);
    let mut fields = Fields { rest: frame };
    while !fields.rest.is_empty() {
        let field = fields.next()?;
        if field.number == 1 {
            id = field.value;
        } else {
            (number, inner) = (field.number, field.bytes);
        }
    }
    Some((id, body(number, inner)?))
}

fn body(number: u64, inner: &[u8]) -> Option<Body<'_>> {
    let Six { values, bytes } = six(inner)?;
    Some(match number {
        100 => Body::Error { code: values[1], name: bytes[2], message: bytes[3] },
        101 => Body::Connected,
        102 => Body::Conversation { id: bytes[1], head: values[3], whole: inner },
        103 => Body::Sent { seq: values[2], client_id: bytes[3], duplicate: values[5] != 0 },
        104 => Body::Acked { seq: values[2] },
        200 => {
            Body::Message { conversation: bytes[1], seq: values[2], client_id: bytes[4], text: six(bytes[6])?.bytes[1] }
        }
        201 => Body::Delivered { conversation: bytes[1], seq: values[3] },
        202 => Body::Missed { events: values[1] },
        203 => Body::Closing { code: values[1] },
        other => Body::Other(other),
    })
}

/// The delivered mark of a member, from the `whole` of a Conversation; None when the user is no member.
pub(super) fn delivered_to(conversation: &[u8], user: &[u8]) -> Option<u64> {
    let mut fields = Fields { rest: conversation };
    while !fields.rest.is_empty() {
        let field = fields.next()?;
        if field.number == 4 {
            let member = six(field.bytes)?;
            if member.bytes[1] == user {
                return Some(member.values[2]);
            }
        }
    }
    None
}

// Writing --------------------------------------------------------------------------------------------------------------

/// Makes frames, one after the other, in memory that it keeps.
#[derive(Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    inner: Vec<u8>,
    content: Vec<u8>,
}

impl Writer {
    pub(super) fn open_direct(&mut self, id: u64, user: &str) -> &[u8] {
        self.inner.clear();
        put_bytes(&mut self.inner, 1, user.as_bytes());
        self.frame(id, OPEN_DIRECT)
    }

    pub(super) fn send(&mut self, id: u64, conversation: &[u8], client_id: &[u8], text: &[u8]) -> &[u8] {
        self.inner.clear();
        self.content.clear();
        put_bytes(&mut self.content, 1, text);
        put_bytes(&mut self.inner, 1, conversation);
        put_bytes(&mut self.inner, 2, client_id);
        put_bytes(&mut self.inner, 3, &self.content);
        self.frame(id, SEND)
    }

    pub(super) fn ack(&mut self, id: u64, conversation: &[u8], seq: u64) -> &[u8] {
        self.inner.clear();
        put_bytes(&mut self.inner, 1, conversation);
        put_number(&mut self.inner, 2, seq);
        self.frame(id, ACK)
    }

    fn frame(&mut self, id: u64, number: u64) -> &[u8] {
        self.out.clear();
        put_number(&mut self.out, 1, id);
        put_bytes(&mut self.out, number, &self.inner);
        &self.out
    }
}

fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3 | VARINT);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Vec<(Value, Vec<u8>)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/vectors/frames.json");
        let text = std::fs::read_to_string(path).expect(path);
        let file: Value = serde_json::from_str(&text).expect(path);
        let all = file["frames"].as_array().expect("a list");
        all.iter().map(|vector| (vector["json"].clone(), bytes(vector["hex"].as_str().expect("hex")))).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    /// 64-bit numbers are texts in JSON, and what is missing is 0.
    fn number(value: &Value) -> u64 {
        value.as_u64().unwrap_or_else(|| value.as_str().map_or(0, |text| text.parse().expect("a number")))
    }

    fn text(value: &Value) -> &[u8] {
        value.as_str().unwrap_or_default().as_bytes()
    }

    /// What a reader of this JSON must say; None for bodies that this codec does not tell apart.
    fn expected(json: &Value) -> Option<Body<'_>> {
        let (name, is) = json.as_object()?.iter().find(|(name, _)| *name != "id")?;
        Some(match name.as_str() {
            "error" => {
                Body::Error { code: number(&is["code"]), name: text(&is["name"]), message: text(&is["message"]) }
            }
            "connected" => Body::Connected,
            "sent" => Body::Sent {
                seq: number(&is["seq"]),
                client_id: text(&is["clientId"]),
                duplicate: is["duplicate"].as_bool().unwrap_or(false),
            },
            "acked" => Body::Acked { seq: number(&is["seq"]) },
            "message" if is["content"]["text"].is_string() => Body::Message {
                conversation: text(&is["conversation"]),
                seq: number(&is["seq"]),
                client_id: text(&is["clientId"]),
                text: text(&is["content"]["text"]),
            },
            "delivered" => Body::Delivered { conversation: text(&is["conversation"]), seq: number(&is["seq"]) },
            "missed" => Body::Missed { events: number(&is["events"]) },
            "closing" => Body::Closing { code: number(&is["code"]) },
            _ => return None,
        })
    }

    #[test]
    fn it_reads_the_golden_answers_and_events() {
        let mut read_bodies = 0;
        for (json, hex) in vectors() {
            let (id, body) = read(&hex).expect("a frame");
            assert_eq!(id, number(&json["id"]), "{json}");
            if let Some(expected) = expected(&json) {
                assert_eq!(body, expected, "{json}");
                read_bodies += 1;
            }
        }
        assert!(read_bodies >= 8, "{read_bodies}");
    }

    #[test]
    fn it_reads_conversations_with_the_marks_of_their_members() {
        let mut members = 0;
        for (json, hex) in vectors() {
            let is = &json["conversation"];
            if is.is_null() {
                continue;
            }
            let Some((_, Body::Conversation { id, head, whole })) = read(&hex) else { panic!("{json}") };
            assert_eq!((id, head), (text(&is["id"]), number(&is["head"])), "{json}");
            for member in is["members"].as_array().into_iter().flatten() {
                assert_eq!(delivered_to(whole, text(&member["user"])), Some(number(&member["delivered"])), "{json}");
                members += 1;
            }
            assert_eq!(delivered_to(whole, b"nobody of this name"), None);
        }
        assert!(members > 0);
    }

    #[test]
    fn it_writes_the_golden_requests() {
        let mut written = 0;
        let mut writer = Writer::default();
        for (json, hex) in vectors() {
            let id = number(&json["id"]);
            let (open, send, ack) = (&json["openDirect"], &json["send"], &json["ack"]);
            let made = if let Some(user) = open["user"].as_str() {
                writer.open_direct(id, user)
            } else if send["content"]["text"].is_string() && send["content"]["mentions"].is_null() {
                writer.send(id, text(&send["conversation"]), text(&send["clientId"]), text(&send["content"]["text"]))
            } else if ack["seq"].is_string() && ack["read"].is_null() {
                writer.ack(id, text(&ack["conversation"]), number(&ack["seq"]))
            } else {
                continue;
            };
            assert_eq!(made, hex, "{json}");
            written += 1;
        }
        assert!(written >= 5, "{written}");
    }

    #[test]
    fn a_frame_that_breaks_off_is_none() {
        let whole = Writer::default().send(1, b"c", b"m1", b"hello").to_vec();
        assert!((1..whole.len()).all(|end| read(&whole[..end]).is_none_or(|(_, body)| body == Body::Other(0))));
        assert_eq!(read(&[0xff; 12]), None);
    }
}
