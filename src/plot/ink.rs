//! How a picture looks: its size and its colours. The hues are told apart with every kind of colour blindness (after Okabe and Ito
//! 2008, darkened or lightened until each has a contrast of 3:1 with its background), and none carries a meaning alone.

/// Least and most pixels of a side.
pub const SIDES: std::ops::RangeInclusive<u32> = 200..=4000;

/// Size and theme of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Pixels; taken into [`SIDES`].
    pub width: u32,
    /// Pixels; taken into [`SIDES`].
    pub height: u32,
    /// Colours.
    pub theme: Theme,
}

/// What the picture lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Theme {
    Light,
    Dark,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 720, height: 450, theme: Theme::Light }
    }
}

impl Theme {
    /// `light` or `dark`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            _ => None,
        }
    }

    /// The word of [`Theme::parse`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn ink(self) -> &'static Ink {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

/// The colours of a theme.
#[derive(Debug)]
pub(super) struct Ink {
    pub(super) paper: &'static str,
    pub(super) text: &'static str,
    pub(super) muted: &'static str,
    pub(super) axis: &'static str,
    pub(super) grid: &'static str,
    /// Of what stands behind: the many lines that are not named.
    pub(super) faint: &'static str,
    pub(super) hues: [&'static str; 6],
}

impl Ink {
    pub(super) const BLUE: usize = 0;
    pub(super) const RED: usize = 1;
    pub(super) const GREEN: usize = 2;
    pub(super) const PURPLE: usize = 3;
    pub(super) const OCHRE: usize = 4;

    pub(super) fn hue(&self, at: usize) -> &'static str {
        self.hues[at % self.hues.len()]
    }
}

const LIGHT: Ink = Ink {
    paper: "#ffffff",
    text: "#1b2026",
    muted: "#59626d",
    axis: "#848d98",
    grid: "#e6e9ed",
    faint: "#b3bac3",
    hues: ["#0072b2", "#c44e00", "#00845f", "#9a4fa6", "#8f6b00", "#3f4a57"],
};

const DARK: Ink = Ink {
    paper: "#14181d",
    text: "#e8ebef",
    muted: "#a3adb8",
    axis: "#78828e",
    grid: "#2a3038",
    faint: "#4d5763",
    hues: ["#56b4f0", "#ff8c4a", "#34c79c", "#d493e2", "#e3bb45", "#c3ccd6"],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let c = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn text_and_hues_stand_out_from_the_paper_of_their_theme() {
        for ink in [&LIGHT, &DARK] {
            let contrast = |colour: &str| {
                let (a, b) = (luminance(colour), luminance(ink.paper));
                (a.max(b) + 0.05) / (a.min(b) + 0.05)
            };
            assert!(contrast(ink.text) >= 7.0 && contrast(ink.muted) >= 4.5 && contrast(ink.axis) >= 3.0);
            for hue in ink.hues {
                assert!(contrast(hue) >= 4.0, "{hue}: {}", contrast(hue));
            }
        }
    }
}
