//! Checksums that a client sends beside a body: `Content-Digest` and `Repr-Digest` (RFC 9530), and the older `Digest`
//! (RFC 3230) and `Content-MD5`. All of them are of the bytes on the wire, before decompression. What is given is
//! checked; an algorithm not known here is ignored, as the standard asks.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};

use crate::api::error::Problem;
use crate::api::wire::request::bad_header;
use crate::fault::{Code, Fault, Place};

/// The checksums one body must have.
#[derive(Default)]
pub(crate) struct Digests(Vec<Wanted>);

struct Wanted {
    header: &'static str,
    hash: Hash,
    value: Vec<u8>,
}

enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
    Md5(Md5),
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "sha-256" => Some(Self::Sha256(Sha256::new())),
            "sha-512" => Some(Self::Sha512(Sha512::new())),
            "md5" => Some(Self::Md5(Md5::new())),
            _ => None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
            Self::Md5(hash) => hash.update(bytes),
        }
    }

    fn value(self) -> Vec<u8> {
        match self {
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Sha512(hash) => hash.finalize().to_vec(),
            Self::Md5(hash) => hash.finalize().to_vec(),
        }
    }
}

impl Digests {
    /// Those the headers give.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut digests = Self::default();
        for header in ["Content-Digest", "Repr-Digest", "Digest"] {
            for member in members(headers, header)? {
                let Some((name, value)) = member.split_once('=') else { return Err(unreadable(header)) };
                // a byte sequence of the newer headers stands between colons, and may have parameters behind it
                let value = match header {
                    "Digest" => Some(value),
                    _ => value.split(';').next().and_then(|value| value.trim().strip_prefix(':')?.strip_suffix(':')),
                };
                if let Some(hash) = Hash::named(name.trim()) {
                    digests.want(header, hash, value)?;
                }
            }
        }
        for value in members(headers, "Content-MD5")? {
            digests.want("Content-MD5", Hash::Md5(Md5::new()), Some(value))?;
        }
        Ok(digests)
    }

    fn want(&mut self, header: &'static str, hash: Hash, value: Option<&str>) -> Result<(), Problem> {
        let value = value.and_then(|value| STANDARD.decode(value.trim()).ok()).ok_or_else(|| unreadable(header))?;
        self.0.push(Wanted { header, hash, value });
        Ok(())
    }

    /// Whether there is none, or none is left to be checked.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in the next bytes of the body.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|wanted| wanted.hash.update(bytes));
    }

    /// At the end of the body: whether every checksum is right.
    pub(crate) fn check(&mut self) -> Result<(), Fault> {
        for Wanted { header, hash, value } in self.0.drain(..) {
            if hash.value() != value {
                let detail = "the body does not have this checksum";
                return Err(Fault::at(Code::DigestMismatch, Place::parameter(header, Code::DigestMismatch.as_str(), detail)));
            }
        }
        Ok(())
    }
}

/// The members of a list that may be spread over several headers of one name.
fn members<'a>(headers: &'a HeaderMap, name: &str) -> Result<Vec<&'a str>, Problem> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| bad_header(name, "the checksum is not text"))?;
        all.extend(text.split(',').map(str::trim).filter(|member| !member.is_empty()));
    }
    Ok(all)
}

fn unreadable(header: &str) -> Problem {
    bad_header(header, "the checksum cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a body `hello` sent with this header.
    fn sent(name: &str, value: &str) -> Result<(), Code> {
        let headers = HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]);
        let mut digests = Digests::of(&headers).map_err(|problem: Problem| problem.fault.code)?;
        digests.update(b"hel");
        digests.update(b"lo");
        digests.check().map_err(|fault| fault.code)
    }

    const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    const SHA512: &str = "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==";
    const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";

    #[test]
    fn a_right_checksum_is_taken_in_every_spelling() {
        assert_eq!(sent("content-digest", &format!("sha-256=:{SHA256}:")), Ok(()));
        assert_eq!(sent("content-digest", &format!("unknown=:AA==:, sha-512=:{SHA512}:;p=1")), Ok(()));
        assert_eq!(sent("repr-digest", &format!("sha-256=:{SHA256}:, sha-512=:{SHA512}:")), Ok(()));
        assert_eq!(sent("digest", &format!("SHA-256={SHA256},MD5={MD5}")), Ok(()));
        assert_eq!(sent("content-md5", MD5), Ok(()));
    }

    #[test]
    fn a_wrong_one_is_a_mismatch_also_beside_a_right_one() {
        let wrong = SHA256.replace('L', "M");
        assert_eq!(sent("content-digest", &format!("sha-256=:{wrong}:")), Err(Code::DigestMismatch));
        assert_eq!(sent("content-digest", &format!("sha-512=:{SHA512}:, sha-256=:{wrong}:")), Err(Code::DigestMismatch));
        assert_eq!(sent("digest", &format!("sha-256={wrong}")), Err(Code::DigestMismatch));
        assert_eq!(sent("content-md5", "AAAA"), Err(Code::DigestMismatch));
    }

    #[test]
    fn one_that_cannot_be_read_is_no_checksum() {
        for (name, value) in [("content-digest", "sha-256"), ("content-digest", "sha-256=AA=="), ("digest", "md5=?"), ("content-md5", "?")]
        {
            assert_eq!(sent(name, value), Err(Code::MalformedHeader), "{name}: {value}");
        }
        assert_eq!(sent("content-digest", "crc32=:?:"), Ok(()), "an algorithm not known is ignored");
    }
}
