//! Short words, such as a method gives to the tensors that it trains.

use std::fmt;

/// Longest label.
const MOST: usize = 15;

/// A word of 1 to 15 of a-z, 0-9 and '_', kept in place: a new method needs no change of an enumeration.
///
/// ```
/// use mimi_server::graph::Label;
///
/// const RULE: Label = Label::of("down_r");
/// assert_eq!(RULE.to_string(), "down_r");
/// assert_eq!(Label::parse("down_r"), Some(RULE));
/// assert_eq!(Label::parse("Down.R"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Zeros follow the word, so that labels are ordered as words are.
    bytes: [u8; MOST],
}

impl Label {
    /// The label of a word in the code: for constants, whose compilation fails where it is none.
    pub const fn of(text: &'static str) -> Self {
        let label = Self::read(text.as_bytes());
        assert!(label.is_some(), "a label has 1 to 15 of a-z, 0-9 and _");
        match label {
            Some(label) => label,
            None => Self { bytes: [0; MOST] },
        }
    }

    /// The label of that word; none where it is too long, empty, or has other letters.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text.as_bytes())
    }

    const fn read(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MOST];
        if text.is_empty() || text.len() > MOST {
            return None;
        }
        let mut i = 0;
        while i < text.len() {
            if !matches!(text[i], b'a'..=b'z' | b'0'..=b'9' | b'_') {
                return None;
            }
            bytes[i] = text[i];
            i += 1;
        }
        Some(Self { bytes })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.bytes.iter().take_while(|byte| **byte != 0);
        word.map(|byte| char::from(*byte)).try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written_and_ordered_as_words() {
        let words = ["a", "a1", "b", "down_s", "down_t", "fifteen_letters", "z_9"];
        let labels: Vec<Label> = words.iter().map(|word| Label::parse(word).unwrap()).collect();
        assert!(labels.is_sorted());
        assert!(labels.iter().zip(words).all(|(label, word)| label.to_string() == word));
        for other in ["", "sixteen_letters_", "Down", "a.b", "a-b", "é", "a\0"] {
            assert_eq!(Label::parse(other), None, "{other:?}");
        }
    }
}
