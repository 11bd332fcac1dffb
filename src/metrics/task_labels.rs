//! Which tasks have times of their own.

use std::str::FromStr;

/// Most tasks that ever have series of their own.
const MOST: usize = 10_000;

/// Which tasks have times of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLabels {
    /// None, and there is no family.
    None,
    /// So many: those that answer most.
    Top(usize),
}

impl TaskLabels {
    /// As many as there may ever be.
    pub const ALL: Self = Self::Top(MOST);

    /// Most tasks with a label.
    pub(super) fn most(self) -> usize {
        match self {
            Self::None => 0,
            Self::Top(most) => most.min(MOST),
        }
    }
}

impl Default for TaskLabels {
    /// 50 tasks make 650 lines.
    fn default() -> Self {
        Self::Top(50)
    }
}

impl FromStr for TaskLabels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let top = |number: &str| number.parse().ok().filter(|most| (1..=MOST).contains(most)).map(Self::Top);
        let found = match text {
            "none" => Some(Self::None),
            "all" => Some(Self::ALL),
            _ => text.strip_prefix("top:").and_then(top),
        };
        found.ok_or_else(|| format!("{text:?}: expected none, all or top:K with K from 1 to {MOST}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bounded_numbers_are_read() {
        assert_eq!("top:7".parse(), Ok(TaskLabels::Top(7)));
        assert_eq!("all".parse(), Ok(TaskLabels::ALL));
        assert_eq!("none".parse(), Ok(TaskLabels::None));
        for wrong in ["", "top", "top:", "top:0", "top:10001", "top:-1", "7", "ALL"] {
            assert!(wrong.parse::<TaskLabels>().unwrap_err().contains("10000"), "{wrong}");
        }
    }
}
