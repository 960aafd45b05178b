//! Who may do what: scopes, and the form of a key.
//!
//! A key is `sk_<public id>_<secret>`: 26 characters that name it and 256 random bits that nobody keeps. What is stored is
//! the SHA-256 of the whole text, and comparing takes the same time wherever two differ. Must never know HTTP or SQL.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::ambient::Ambient;
use crate::id::{Id, Kind};

const PREFIX: &str = "sk_";
const SECRET_BYTES: usize = 32;

/// One thing a key may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scope {
    DatasetsRead,
    DatasetsWrite,
    JobsRead,
    JobsWrite,
    ModelsRead,
    ModelsWrite,
    ModelsPredict,
    /// Keys and measures of the project; includes every other scope.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 8] = [
        Self::DatasetsRead,
        Self::DatasetsWrite,
        Self::JobsRead,
        Self::JobsWrite,
        Self::ModelsRead,
        Self::ModelsWrite,
        Self::ModelsPredict,
        Self::Admin,
    ];

    /// The scope's public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DatasetsRead => "datasets:read",
            Self::DatasetsWrite => "datasets:write",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::ModelsRead => "models:read",
            Self::ModelsWrite => "models:write",
            Self::ModelsPredict => "models:predict",
            Self::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything may be done.
    pub const ALL: Self = Self(u8::MAX);

    /// Whether `scope` is granted, by itself or by `admin`.
    pub fn allow(self, scope: Scope) -> bool {
        self.holds(scope) || self.holds(Scope::Admin)
    }

    fn holds(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Words separated by blanks or commas; the first that is none is the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        words.map(|word| Scope::parse(word).ok_or_else(|| word.to_owned())).collect()
    }

    /// The words, in their one order.
    pub fn words(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.holds(*scope)).map(Scope::as_str).collect()
    }

    /// Whether nothing may be done.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// What an operator asks a key to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The project whose data it opens; its form is that of a name.
    pub project: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Days until it is worth nothing; `None` = for good.
    pub expires_in_days: Option<u32>,
}

impl NewKey {
    /// Longest name, in bytes.
    pub const NAME_MAX: usize = 256;
    /// A key that is to expire does so within ten years.
    pub const DAYS_MAX: u32 = 3650;

    /// Whether `name` can be a key's name: some text without control characters.
    pub fn is_label(name: &str) -> bool {
        (1..=Self::NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
    }
}

/// A key's text, to be shown once and then forgotten. Has no `Debug`: it cannot reach a log by accident.
pub struct Token(String);

impl Token {
    /// A new key and the id that is its public half.
    pub fn mint(ambient: &Ambient) -> (Id, Self) {
        let id = Id::new(Kind::Key, ambient);
        let mut secret = [0u8; SECRET_BYTES];
        ambient.random.fill(&mut secret);
        let mut text = format!("{PREFIX}{}_", digits(&id));
        for byte in secret {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        (id, Self(text))
    }

    /// The text itself, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.0.as_bytes()).into())
    }
}

fn digits(id: &Id) -> &str {
    id.as_str().trim_start_matches(Kind::Key.prefix())
}

/// SHA-256 of a key's text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// As it is stored.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From what is stored.
    pub fn from_hex(text: &str) -> Option<Self> {
        bytes_from_hex(text).map(Self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// A key as somebody presents it, right or wrong. Reading one costs the same whatever it says.
pub struct Presented {
    id: Option<Id>,
    digest: Digest,
}

impl Presented {
    /// Reads a text that may be a key.
    pub fn read(text: &str) -> Self {
        let id = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map(|(digits, _)| digits);
        let id = id.and_then(|digits| Id::parse(Kind::Key, &format!("{}{digits}", Kind::Key.prefix())));
        Self { id, digest: Digest(Sha256::digest(text.as_bytes()).into()) }
    }

    /// The public id it names, if it has the form of a key.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// Whether it is the key of `stored`. Against nothing it is compared too, and is wrong.
    pub fn is(&self, stored: Option<&Digest>) -> bool {
        let nobody = Digest([0; 32]);
        let equal = self.digest.0.ct_eq(&stored.unwrap_or(&nobody).0);
        bool::from(equal) && stored.is_some()
    }
}

/// What belongs to keys, found by the key alone. A wrong one is looked for by its digest like every other: whether there
/// is a key with its id makes no difference to the work.
#[derive(Clone, Debug)]
pub struct Keyring<T>(HashMap<Digest, T>);

impl<T> Keyring<T> {
    /// What belongs to this key.
    pub fn find(&self, presented: &Presented) -> Option<&T> {
        let (stored, found) = self.0.get_key_value(&presented.digest)?;
        presented.is(Some(stored)).then_some(found)
    }
}

impl<T> Default for Keyring<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> FromIterator<(Digest, T)> for Keyring<T> {
    fn from_iter<I: IntoIterator<Item = (Digest, T)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// The secret of an installation: what its servers seal with. Never shown, never logged.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new one.
    pub fn mint(ambient: &Ambient) -> Self {
        let mut bytes = [0; SECRET_BYTES];
        ambient.random.fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes, to key a seal with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it is stored.
    pub fn to_hex(&self) -> String {
        Digest(self.0).to_hex()
    }

    /// From what is stored.
    pub fn from_hex(text: &str) -> Option<Self> {
        bytes_from_hex(text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn bytes_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// What one project may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Quotas {
    /// Bytes of stored data sets and models.
    pub stored_bytes: u64,
    /// Data set versions.
    pub datasets: u64,
    /// Model versions, those of jobs under way counted.
    pub models: u64,
    /// Uploads running at once in one process.
    pub uploads: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { stored_bytes: 256 << 30, datasets: 10_000, models: 100_000, uploads: 16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_and_nothing_else_is() {
        let ambient = Ambient::system();
        let (id, token) = Token::mint(&ambient);
        let (_, other) = Token::mint(&ambient);
        let text = token.reveal();
        assert_eq!(text.len(), "sk_".len() + 26 + 1 + 64);
        let presented = Presented::read(text);
        assert_eq!(presented.id(), Some(&id));
        assert!(presented.is(Some(&token.digest())));
        assert!(!presented.is(None) && !presented.is(Some(&other.digest())));
        let ring: Keyring<_> = [(token.digest(), "one"), (other.digest(), "another")].into_iter().collect();
        assert_eq!((ring.find(&presented), ring.find(&Presented::read(other.reveal()))), (Some(&"one"), Some(&"another")));
        assert_eq!(ring.find(&Presented::read(&format!("{}x", &text[..text.len() - 1]))), None, "a known id is no key");
        for wrong in [&text[..text.len() - 1], &text.to_uppercase(), &format!("{text}0"), &format!(" {text}"), "", "sk_", "sk__"] {
            assert!(!Presented::read(wrong).is(Some(&token.digest())), "{wrong}");
        }
    }

    #[test]
    fn what_is_stored_survives_its_text_and_does_not_hold_the_key() {
        let (_, token) = Token::mint(&Ambient::system());
        let stored = token.digest().to_hex();
        assert_eq!(Digest::from_hex(&stored), Some(token.digest()));
        assert!(!token.reveal().contains(&stored) && format!("{:?}", token.digest()) == "Digest");
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(Digest::from_hex(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_words_and_admin_includes_all() {
        let reader = Scopes::parse("jobs:read,datasets:read models:read").expect("words");
        assert_eq!(reader.to_string(), "datasets:read jobs:read models:read");
        assert!(reader.allow(Scope::JobsRead) && !reader.allow(Scope::JobsWrite) && !reader.allow(Scope::Admin));
        let admin: Scopes = [Scope::Admin].into_iter().collect();
        assert!(Scope::ALL.into_iter().all(|scope| admin.allow(scope) && Scopes::ALL.allow(scope)));
        assert_eq!(Scopes::parse("jobs:read jobs:all"), Err("jobs:all".to_owned()));
        assert!(Scopes::parse(" ,").expect("no words").is_empty());
    }
}
