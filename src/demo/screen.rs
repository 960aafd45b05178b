//! Where the demo speaks: standard output, once as a terminal with a moving bar, once as plain lines for a log.
//!
//! Knows nothing of HTTP. A reader that has gone away (a closed pipe) is an error like any other, and ends the demo.

use std::io::{self, IsTerminal as _, Write};

use super::draw::{Paint, WIDTH, fit, wrap};

/// Indentation of everything below a heading.
const INDENT: &str = "   ";

/// The place of all output.
pub(super) struct Screen<W: Write> {
    out: W,
    terminal: bool,
    paint: Paint,
    /// Whether the cursor stands on a line that will be drawn again.
    moving: bool,
    headings: usize,
}

impl Screen<io::Stdout> {
    /// Standard output, in colour only when it is a terminal and nobody asked for none (`NO_COLOR`).
    pub(super) fn stdout() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen::new(out, terminal, colour)
    }
}

impl<W: Write> Screen<W> {
    /// A screen on any writer.
    pub(super) fn new(out: W, terminal: bool, colour: bool) -> Self {
        Self { out, terminal, paint: Paint { colour }, moving: false, headings: 0 }
    }

    /// Emphasis for parts of lines.
    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// Whether lines can be drawn again.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The first line of all.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint.bold(text);
        writeln!(self.out, "\n{text}\n{}", "─".repeat(WIDTH))
    }

    /// The next numbered heading.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.headings += 1;
        let line = self.paint.bold(&fit(&format!("{}  {text}", self.headings), WIDTH));
        writeln!(self.out, "\n{line}")
    }

    /// One line below the heading, as it is.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        match text {
            "" => writeln!(self.out),
            text => writeln!(self.out, "{INDENT}{text}"),
        }
    }

    /// A text of any length below the heading.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        for line in wrap(text, WIDTH - INDENT.len()) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// A word of a few letters and its text, aligned with its neighbours.
    pub(super) fn entry(&mut self, word: &str, text: &str) -> io::Result<()> {
        const COLUMN: usize = 13;
        for (i, line) in wrap(text, WIDTH - INDENT.len() - COLUMN).iter().enumerate() {
            let word = self.paint.bold(&format!("{:<COLUMN$}", if i == 0 { word } else { "" }));
            self.line(&format!("{word}{line}"))?;
        }
        Ok(())
    }

    /// A line as it is, from the first column: for what will be copied into a shell.
    pub(super) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Draws a line that the next one replaces, on a terminal; elsewhere a line like any other.
    pub(super) fn progress(&mut self, text: &str) -> io::Result<()> {
        let text = fit(text, WIDTH - INDENT.len());
        if self.terminal {
            self.moving = true;
            write!(self.out, "\r\u{1b}[2K{INDENT}{text}")?;
            self.out.flush()
        } else {
            self.line(&text)?;
            self.out.flush()
        }
    }

    /// Ends a line that was being drawn again and again, by taking it away.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.moving) {
            write!(self.out, "\r\u{1b}[2K")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(terminal: bool, colour: bool, act: impl Fn(&mut Screen<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        act(&mut Screen::new(&mut out, terminal, colour)).expect("memory is writable");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_log_gets_plain_lines_and_a_terminal_one_line_that_moves() {
        let act = |screen: &mut Screen<&mut Vec<u8>>| {
            screen.progress("10 %")?;
            screen.progress("20 %")?;
            screen.settle()
        };
        assert_eq!(written(false, false, act), "   10 %\n   20 %\n");
        assert_eq!(written(true, false, act), "\r\u{1b}[2K   10 %\r\u{1b}[2K   20 %\r\u{1b}[2K");
    }

    #[test]
    fn no_line_is_wider_than_eighty_columns_and_headings_are_numbered() {
        let long = "word ".repeat(60);
        let text = written(false, false, |screen| {
            screen.title("t")?;
            screen.heading(&long)?;
            screen.heading("second")?;
            screen.say(&long)?;
            screen.entry("λ", &long)?;
            screen.progress(&long)
        });
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\n1  word") && text.contains("\n2  second\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour was asked for");
    }
}
