//! Identifiers: a prefix and 26 characters of Crockford base32 of a UUIDv7, so that they sort by creation time.
//!
//! An id is made by the server and may be a file name; any other spelling than the one made here is no id at all.

use std::fmt;

use crate::ambient::Ambient;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

/// What an id names; the first letters of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A dataset version, `ds_…`.
    Dataset,
    /// A job, `job_…`.
    Job,
    /// A model version, `mv_…`.
    Model,
    /// A request, `req_…`.
    Request,
    /// A stored file, `blob_…`.
    Blob,
    /// An API key, `key_…`; its digits are the public half of the key.
    Key,
    /// An event of a job, `evt_…`.
    Event,
    /// A webhook endpoint, `wh_…`.
    Webhook,
    /// A message to a webhook, `msg_…`.
    Message,
}

impl Kind {
    /// The prefix, with its underscore.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Dataset => "ds_",
            Self::Job => "job_",
            Self::Model => "mv_",
            Self::Request => "req_",
            Self::Blob => "blob_",
            Self::Key => "key_",
            Self::Event => "evt_",
            Self::Webhook => "wh_",
            Self::Message => "msg_",
        }
    }
}

/// An identifier in its one legal spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// A fresh id: 48 bits of milliseconds, the version and variant of UUIDv7, 74 random bits.
    pub fn new(kind: Kind, ambient: &Ambient) -> Self {
        let mut bytes = [0u8; 16];
        ambient.random.fill(&mut bytes);
        let millis = u64::try_from(ambient.now_micros() / 1000).unwrap_or(0);
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        let mut rest = u128::from_be_bytes(bytes);
        let mut digits = [0u8; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        Self(format!("{}{}", kind.prefix(), String::from_utf8_lossy(&digits)))
    }

    /// The id spelled by `text`, if `text` is one of this kind.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(kind.prefix())?.as_bytes();
        let legal = digits.len() == DIGITS && digits[0] <= b'7' && digits.iter().all(|d| ALPHABET.contains(d));
        legal.then(|| Self(text.to_owned()))
    }

    /// When the id was made: milliseconds since 1970-01-01T00:00:00Z.
    pub fn created_millis(&self) -> i64 {
        let digits = self.0.bytes().skip_while(|&byte| byte != b'_').skip(1).take(10);
        digits.fold(0, |millis, digit| {
            let value = ALPHABET.iter().position(|&letter| letter == digit).unwrap_or(0);
            (millis << 5) | i64::try_from(value).unwrap_or(0)
        })
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_sorts_by_time() {
        let ambient = Ambient::system();
        let id = Id::new(Kind::Job, &ambient);
        assert_eq!(Id::parse(Kind::Job, id.as_str()), Some(id.clone()));
        assert_eq!(id.as_str().len(), "job_".len() + 26);
        assert!((ambient.now_micros() / 1000 - id.created_millis()).abs() < 60_000);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(Id::new(Kind::Job, &ambient) > id);
    }

    #[test]
    fn any_other_spelling_is_no_id() {
        let good = Id::new(Kind::Job, &Ambient::system()).to_string();
        for bad in
            [good.to_lowercase(), good.replace("job_", "ds_"), good[..29].to_owned(), format!("{good}0"), "job_../x".into(), String::new()]
        {
            assert_eq!(Id::parse(Kind::Job, &bad), None, "{bad}");
        }
    }
}
