//! Secrets and signatures after Standard Webhooks: HMAC-SHA-256 over `id.timestamp.body`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ambient::Ambient;

const PREFIX: &str = "whsec_";
const FRESH_BYTES: usize = 32;

/// A key that a receiver shares with us; never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A fresh one.
    pub fn new(ambient: &Ambient) -> Self {
        let mut bytes = vec![0; FRESH_BYTES];
        ambient.random.fill(&mut bytes);
        Self(bytes)
    }

    /// The secret of a text `whsec_<base64 of 24 to 64 bytes>`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// Its text: shown once, and stored.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The header `webhook-signature`: one signature for each secret, so that a receiver may know either.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &str) -> String {
    let one = |secret: &Secret| {
        // HMAC takes keys of any length
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of the specification carry; computed again with Python's `hmac`.
    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;

    #[test]
    fn the_signature_is_the_one_of_the_specification() {
        let secret = Secret::parse(TEXT).unwrap();
        assert_eq!(sign(&[secret], ID, 1_614_265_330, BODY), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn during_a_rotation_both_secrets_sign() {
        let (new, old) = (Secret::new(&Ambient::system()), Secret::parse(TEXT).unwrap());
        let both = sign(&[new.clone(), old], ID, 1_614_265_330, BODY);
        let alone = sign(&[new], ID, 1_614_265_330, BODY);
        assert_eq!(both, format!("{alone} v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(sign(&[], ID, 0, BODY), "");
    }

    #[test]
    fn every_part_of_the_message_is_signed() {
        let secret = [Secret::parse(TEXT).unwrap()];
        let signatures =
            [(ID, 1, BODY), ("msg_other", 1, BODY), (ID, 2, BODY), (ID, 1, "{}")].map(|(id, time, body)| sign(&secret, id, time, body));
        for (at, signature) in signatures.iter().enumerate() {
            assert!(!signatures[..at].contains(signature), "{at}");
        }
    }

    #[test]
    fn a_secret_survives_its_text_and_others_are_refused() {
        let secret = Secret::new(&Ambient::system());
        assert_eq!(Secret::parse(&secret.text()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.text()[6..]));
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert!(Secret::parse(&of(24)).is_some() && Secret::parse(&of(64)).is_some());
        for bad in [of(23), of(65), of(32)[6..].to_owned(), "whsec_".into(), "whsec_!!!!".into(), String::new()] {
            assert_eq!(Secret::parse(&bad), None, "{bad}");
        }
    }
}
