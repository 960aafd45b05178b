//! Refuses, before the HTTP library sees it, what a proxy in front may read differently: a bare line feed in a head, and
//! a `Content-Length` beside a `Transfer-Encoding` (RFC 9112 §2.2 and §6.3 allow a server to be lenient; request
//! smuggling lives on that). Follows the framing of the connection's bytes and knows nothing else of HTTP.
//!
//! What is refused is made illegal on its way (a line feed becomes NUL), so that the library itself answers 400 in its
//! turn and closes the connection.

/// Bytes of a line that are kept: enough for every header that matters here.
const LINE_KEPT: usize = 64;

/// What a client is in the middle of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// The last message is over, the next has not begun.
    Nothing,
    /// A head.
    Head,
    /// A body.
    Body,
}

/// Where in a message the next byte lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Request line and headers.
    #[default]
    Head,
    /// A body, or a chunk with its line end: this many bytes are left.
    Body {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    Trailer,
    /// Not followed any further: the library refuses what comes.
    Lost,
}

/// Follows the bytes that come in on one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    /// The first bytes of the present line, without its end.
    line: Vec<u8>,
    last: u8,
    /// Whether the request line is over.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// What the client is in the middle of sending.
    pub(super) fn sending(&self) -> Sending {
        match self.place {
            Place::Head if !self.begun && self.line.is_empty() => Sending::Nothing,
            Place::Head | Place::Lost => Sending::Head,
            Place::Body { .. } | Place::ChunkSize | Place::Trailer => Sending::Body,
        }
    }

    /// Takes in the next bytes, and makes illegal what must not pass.
    pub(super) fn follow(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::Lost => return,
                Place::Body { left, chunked } => {
                    let step = left.min((bytes.len() - at) as u64);
                    at += step as usize;
                    self.place = match left - step {
                        0 if chunked => Place::ChunkSize,
                        0 => Place::Head,
                        left => Place::Body { left, chunked },
                    };
                }
                Place::Head | Place::ChunkSize | Place::Trailer => at = self.follow_line(bytes, at),
            }
        }
    }

    /// Takes in the rest of a line; returns where the next begins.
    fn follow_line(&mut self, bytes: &mut [u8], at: usize) -> usize {
        let end = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |found| at + found);
        let room = LINE_KEPT.saturating_sub(self.line.len());
        self.line.extend(bytes[at..end].iter().take(room));
        self.last = if end > at { bytes[end - 1] } else { self.last };
        if end == bytes.len() {
            return end;
        }
        let bare = self.last != b'\r';
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let legal = match self.place {
            Place::Head => !bare && self.header_ended(),
            Place::ChunkSize => self.chunk_size_ended(),
            _ => self.trailer_ended(),
        };
        if !legal {
            bytes[end] = 0;
            self.place = Place::Lost;
        }
        self.line.clear();
        self.last = 0;
        end + 1
    }

    fn header_ended(&mut self) -> bool {
        if self.line.is_empty() {
            if self.begun {
                self.head_ended();
            }
            return true;
        }
        self.begun = true;
        if self.value_of("content-length:").is_some() {
            // one that is no number, or longer than what is kept of a line, is the library's to refuse
            let value = self.value_of("content-length:").filter(|_| self.line.len() < LINE_KEPT).and_then(|digits| digits.parse().ok());
            self.length = Some(value.unwrap_or(u64::MAX));
        } else if self.value_of("transfer-encoding:").is_some() {
            self.chunked = true;
        }
        !(self.chunked && self.length.is_some())
    }

    /// The value of the present line, if it is the header `name`, given in lower case with its colon.
    fn value_of(&self, name: &str) -> Option<&str> {
        let (head, value) = self.line.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).unwrap_or_default().trim())
    }

    fn head_ended(&mut self) {
        self.place = match self.length.take() {
            _ if self.chunked => Place::ChunkSize,
            Some(left) if left > 0 => Place::Body { left, chunked: false },
            _ => Place::Head,
        };
        (self.begun, self.chunked) = (false, false);
    }

    fn chunk_size_ended(&mut self) -> bool {
        let digits = self.line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        self.place = match size {
            Some(0) => Place::Trailer,
            // the chunk and the line end behind it
            Some(size) => Place::Body { left: size.saturating_add(2), chunked: true },
            None => return false,
        };
        true
    }

    fn trailer_ended(&mut self) -> bool {
        if self.line.is_empty() {
            self.place = Place::Head;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a byte stream passes unchanged, fed whole and byte by byte.
    fn passes(text: &str) -> bool {
        let mut whole = text.as_bytes().to_vec();
        Framing::default().follow(&mut whole);
        let mut slow = text.as_bytes().to_vec();
        let mut framing = Framing::default();
        slow.chunks_mut(1).for_each(|byte| framing.follow(byte));
        assert_eq!(whole, slow, "{text:?}");
        whole == text.as_bytes()
    }

    #[test]
    fn messages_of_every_framing_follow_each_other_untouched() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\na\nb\n\nc\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\nA\r\n0\n23456\n89\r\n0\r\nT: 1\r\n\r\n";
        assert!(passes(&format!("\r\n{get}{post}{chunked}{post}\r\n{chunked}{get}{get}")));
    }

    #[test]
    fn it_is_known_what_a_client_is_sending() {
        let mut framing = Framing::default();
        let mut sending = |text: &str| {
            framing.follow(&mut text.as_bytes().to_vec());
            framing.sending()
        };
        assert_eq!(sending(""), Sending::Nothing);
        assert_eq!(sending("PO"), Sending::Head);
        assert_eq!(sending("ST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"), Sending::Body);
        assert_eq!(sending("ab"), Sending::Body);
        assert_eq!(sending("c"), Sending::Nothing);
        assert_eq!(sending("GET / HTTP/1.1\r\nHost: a"), Sending::Head);
        assert_eq!(sending("\r\n\r\n"), Sending::Nothing);
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_refused() {
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\n\r\n",
        ] {
            assert!(!passes(head), "{head:?}");
        }
    }

    #[test]
    fn a_length_beside_a_transfer_encoding_is_refused_in_either_order() {
        for headers in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"] {
            assert!(!passes(&format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n0\r\n\r\n")), "{headers}");
        }
        // but not in two messages
        let one = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert!(passes(&format!("{one}POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{one}")));
    }

    #[test]
    fn long_lines_take_no_more_memory_than_what_matters() {
        let mut framing = Framing::default();
        let mut line = vec![b'a'; 1 << 20];
        framing.follow(&mut line);
        assert!(framing.line.capacity() <= 2 * LINE_KEPT && line.iter().all(|&byte| byte == b'a'));
    }
}
