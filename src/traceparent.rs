//! A place in a trace, as W3C Trace Context writes it: `00-<trace>-<span>-<flags>`.
//!
//! It comes with a request, is kept with the job that the request began, and goes on in whoever works the job. Here it is
//! a value only; what becomes of spans is not known.

use std::fmt;

/// See the head of this file. Neither id is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace, shared by all who had a part in one thing asked.
    pub trace: u128,
    /// The span that asks.
    pub span: u64,
    /// Whether whoever asks records its part, and so should we.
    pub sampled: bool,
}

impl Traceparent {
    /// The value of a `traceparent` header, unless it is none (Trace Context, section 3.2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let legal = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // later versions may append; version 00 has nothing to append
        if !legal || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled })
    }

    /// The trace's id, as it is shown: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_legal_traceparent_is_understood_and_written_again() {
        for (text, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("01-{TRACE}-{SPAN}-03-more"), true),
        ] {
            let read = Traceparent::parse(&text).expect("legal");
            assert_eq!((read.trace_id().as_str(), read.sampled), (TRACE, sampled));
            assert_eq!(read.to_string(), format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled)));
            assert_eq!(Traceparent::parse(&read.to_string()), Some(read));
        }
    }

    #[test]
    fn what_is_not_legal_is_none() {
        let (zero, upper) = ("0".repeat(32), TRACE.to_uppercase());
        for bad in [
            "",
            "00",
            TRACE,
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{zero}-{SPAN}-01"),
            &format!("00-{upper}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(Traceparent::parse(bad), None, "{bad}");
        }
    }
}
