//! What a head's outputs mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a head's outputs mean, in Hugging Face's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// One label an image: scores are the softmax of all outputs.
    #[default]
    SingleLabelClassification,
    /// Any number of labels an image: each score is the logistic function of its output.
    MultiLabelClassification,
    /// Numbers: each output is one, as it is.
    Regression,
}

impl ProblemType {
    /// Every one.
    pub const ALL: [Self; 3] =
        [Self::SingleLabelClassification, Self::MultiLabelClassification, Self::Regression];

    /// Whether it is the one that every pack of format 1 has.
    pub fn is_single_label(&self) -> bool {
        *self == Self::SingleLabelClassification
    }

    /// The word in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleLabelClassification => "single_label_classification",
            Self::MultiLabelClassification => "multi_label_classification",
            Self::Regression => "regression",
        }
    }

    /// What its answers are scored by, higher being better.
    pub fn score(self) -> &'static str {
        match self {
            Self::SingleLabelClassification => "accuracy",
            Self::MultiLabelClassification => "mean average precision",
            Self::Regression => "R²",
        }
    }
}

impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProblemType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|problem| problem.as_str() == text);
        found.ok_or_else(|| format!("unknown problem type {text:?}: expected one of {}", known()))
    }
}
