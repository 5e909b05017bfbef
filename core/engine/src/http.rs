//! One HTTP/1.1 upgrade request.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocol {
    pub name: String,
    pub text: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'n> {
    Incomplete,
    Upgrade { used: usize, subprotocol: Option<&'n Subprotocol>, response: Vec<u8> },
    Reject { response: Vec<u8>, status: u16 },
}

#[must_use]
pub fn parse<'n>(_input: &[u8], _known: &'n [Subprotocol], _max_header: usize) -> Parsed<'n> {
    unimplemented!()
}

/// A response that ends the connection, with one line of text (503 and the like).
#[must_use]
pub fn refusal(_status: u16, _line: &str) -> Vec<u8> {
    unimplemented!()
}
