//! An address a client gave, understood strictly: one legal spelling, no user, no fragment, no number in disguise.

use std::net::IpAddr;

use url::Url;

/// The longest address.
const LENGTH_MAX: usize = 2048;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    host: Host,
    port: u16,
    authority: String,
    path: String,
}

/// Whom it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Understands an address, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LENGTH_MAX {
            return Err("must have at most 2048 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
            return Err("must be plain ASCII without blanks; escape anything else");
        }
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with https://"),
        };
        let given = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        if given.contains('@') {
            return Err("must not carry a user or password");
        }
        let url = Url::parse(text).map_err(|_| "is no address")?;
        if url.fragment().is_some() {
            return Err("must not have a fragment");
        }
        let host = match url.host().ok_or("has no host")? {
            url::Host::Ipv4(address) => Host::Address(address.into()),
            url::Host::Ipv6(address) => Host::Address(address.into()),
            url::Host::Domain(name) if is_name(name) => Host::Name(name.to_owned()),
            url::Host::Domain(_) => return Err("has a host that is no name"),
        };
        let port = url.port_or_known_default().ok_or("has no port")?;
        let shown = url.host_str().unwrap_or_default();
        // whatever had to be rewritten was not meant to be understood by people
        if given != shown && given != format!("{shown}:{port}") {
            return Err("must spell its host in the plain way");
        }
        if !matches!(port, 80 | 443 | 1024..) {
            return Err("must have the port 80, 443, or one from 1024 up");
        }
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Self { secure, host, port, authority: url.authority().to_owned(), path })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// Labels of letters, digits, hyphens and underscores, the last of which is no number.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Guard;

    #[test]
    fn a_plain_address_is_understood() {
        let target = Target::parse("https://Hooks.example.com:8443/a/b?c=d&e=%20").unwrap();
        assert_eq!((target.is_secure(), target.port()), (true, 8443));
        assert_eq!((target.authority(), target.path()), ("hooks.example.com:8443", "/a/b?c=d&e=%20"));
        assert_eq!(target.host(), &Host::Name("hooks.example.com".into()));
        assert_eq!(Target::parse("https://xn--bcher-kva.example").unwrap().path(), "/");
        assert_eq!(Target::parse("https://example.com:443/").unwrap().authority(), "example.com");
        assert_eq!(Target::parse("http://127.0.0.1:8080/x").unwrap().host(), &Host::Address([127, 0, 0, 1].into()));
        assert_eq!(Target::parse("https://[2606:4700::1111]/x").unwrap().authority(), "[2606:4700::1111]");
    }

    #[test]
    fn every_other_spelling_of_an_address_is_refused() {
        let bad = [
            "",
            "x",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "HTTPS://example.com",
            "https:example.com",
            "https:/example.com",
            "https:///example.com",
            "https://",
            "https:///",
            "https://?",
            " https://example.com",
            "https://example.com ",
            "https://exam\tple.com",
            "https://example.com/\r\nX: y",
            "https://exa mple.com",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://example.com@127.0.0.1",
            "https://127.0.0.1#@example.com",
            "https://example.com/#x",
            "https://example.com\\@127.0.0.1",
            "https:\\\\example.com",
            "https://bücher.example",
            "https://ｅxample.com",
            "https://①②⑦.0.0.1",
            "https://%31%32%37.0.0.1",
            "https://exa%6dple.com",
            "https://2130706433",
            "https://017700000001",
            "https://0x7f000001",
            "https://0x7f.0.0.1",
            "https://0177.0.0.1",
            "https://127.1",
            "https://127.0.1",
            "https://127.0.0.1.",
            "https://00127.0.0.1",
            "https://127.0.0.01",
            "https://0",
            "https://1.2.3.4.5",
            "https://256.0.0.1",
            "https://127.0.0.1.5",
            "https://a.123",
            "https://[::1",
            "https://::1",
            "https://[0:0:0:0:0:0:0:1]",
            "https://[::0001]",
            "https://[::ffff:127.0.0.1]",
            "https://[::1%25eth0]",
            "https://[fe80::1%eth0]",
            "https://[v1.x]",
            "https://example..com",
            "https://.example.com",
            "https://example.com.",
            "https://localhost.",
            "https://-a.example",
            "https://a*.example",
            "https://a,b.example",
            "https://example.com:0",
            "https://example.com:22",
            "https://example.com:25",
            "https://example.com:1023",
            "https://example.com:65536",
            "https://example.com:0443",
            "https://example.com:",
            "https://example.com:+443",
            "https://example.com:x",
            "https://exa^mple.com/",
        ];
        for text in bad {
            assert!(Target::parse(text).is_err(), "{text} → {:?}", Target::parse(text));
        }
        assert!(bad.len() >= 60, "{}", bad.len());
        assert!(Target::parse(&format!("https://example.com/{}", "a".repeat(2100))).is_err());
        assert!(Target::parse(&format!("https://{}.com/", "a".repeat(64))).is_err());
    }

    #[test]
    fn a_literal_address_inside_is_foreseen_to_be_refused() {
        let foreseen = |text: &str| Guard::default().foresees(&Target::parse(text).unwrap_or_else(|what| panic!("{text}: {what}")));
        for text in [
            "https://127.0.0.1/",
            "https://10.1.2.3:8443/",
            "https://169.254.169.254/latest",
            "https://192.168.1.1/",
            "https://[::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://localhost/",
            "https://LOCALHOST:8443/",
            "https://a.localhost/",
            "https://metadata/",
            "http://example.com/",
            "http://8.8.8.8/",
            "https://0.0.0.0/",
        ] {
            assert!(foreseen(text).is_err(), "{text}");
        }
        for text in ["https://example.com/", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/x"] {
            assert_eq!(foreseen(text), Ok(()), "{text}");
        }
        let allowed = Guard::new(&["127.0.0.1/32".parse().unwrap()]);
        for text in ["http://127.0.0.1:9/", "http://localhost:9999/", "http://hooks.test:9999/"] {
            let told = Target::parse(text).and_then(|target| allowed.foresees(&target));
            assert_eq!(told.is_ok(), !text.contains(":9/"), "{text}: {told:?}");
        }
    }
}
