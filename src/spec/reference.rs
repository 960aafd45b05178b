//! How a client names a model version: `name`, `name:3`, `name@alias`.

use super::is_name;

/// The alias that every model has: its newest version.
pub(super) const LATEST: &str = "latest";

/// A model version by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRef {
    /// Name of the model.
    pub name: String,
    /// Which of its versions.
    pub pick: Pick,
}

/// Which version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// The newest: `name`, or `name@latest`.
    Latest,
    /// This one: `name:3`.
    Version(i64),
    /// The one that an alias points at: `name@alias`.
    Alias(String),
}

impl ModelRef {
    /// Reads a reference; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, pick) = match (text.split_once('@'), text.split_once(':')) {
            (Some((name, LATEST)), _) => (name, Pick::Latest),
            (Some((name, alias)), _) => (name, Pick::Alias(is_name(alias).then(|| alias.to_owned())?)),
            (None, Some((name, number))) => (name, Pick::Version(version_number(number)?)),
            (None, None) => (text, Pick::Latest),
        };
        is_name(name).then(|| Self { name: name.to_owned(), pick })
    }

    /// The number it says, if it says one.
    pub fn version(&self) -> Option<i64> {
        if let Pick::Version(number) = self.pick { Some(number) } else { None }
    }
}

/// A version number as it is written: from 1, without sign or leading zeros.
pub fn version_number(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| *number >= 1 && number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_with_an_optional_version_or_alias() {
        let read = |text| ModelRef::parse(text).map(|reference| (reference.name, reference.pick));
        for latest in ["churn", "churn@latest"] {
            assert_eq!(read(latest), Some(("churn".into(), Pick::Latest)));
        }
        assert_eq!(read("churn:3"), Some(("churn".into(), Pick::Version(3))));
        assert_eq!(read("churn@production"), Some(("churn".into(), Pick::Alias("production".into()))));
        for bad in ["", "churn:", "churn:0", "churn:03", "churn:-1", "churn@", "churn@A", "../x", "a@b:1", "a:1@b", "A", "@latest"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
