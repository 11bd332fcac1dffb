//! From outputs to what is answered: thresholds of labels, and when not to answer.

use super::{Error, ProblemType};

/// Threshold of a label that has none of its own.
const THRESHOLD: f32 = 0.5;

/// How outputs become answers. The default is that of every pack of format 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What the outputs mean.
    pub problem: ProblemType,
    /// Least score at which each label applies; half for all where there is none.
    pub thresholds: Option<Vec<f32>>,
    /// Highest probability below which the answer is only a guess; none if every answer counts.
    pub abstain_below: Option<f32>,
}

impl Decision {
    /// Whether every answer of it is one that a server of format 1 gives.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Least score at which a label applies.
    pub fn threshold(&self, label: usize) -> f32 {
        threshold(self.thresholds.as_deref(), label)
    }

    /// Checks it for a head of so many outputs.
    ///
    /// # Errors
    /// [`Error::Field`] with the field that does not fit.
    pub(super) fn check(&self, outputs: usize) -> Result<(), Error> {
        let problem = self.problem;
        if let Some(thresholds) = &self.thresholds {
            if problem != ProblemType::MultiLabelClassification {
                let reason = format!("problem_type is {problem}: only multi_label_classification has them");
                return Err(Error::field("thresholds", format!("{} numbers", thresholds.len()), reason));
            }
            if thresholds.len() != outputs {
                let reason = format!("expected one for each of the {outputs} labels");
                return Err(Error::field("thresholds", format!("{} numbers", thresholds.len()), reason));
            }
            if let Some((label, wrong)) = thresholds.iter().enumerate().find(|(_, t)| !is_share(**t)) {
                let value = format!("{wrong} for label {label}");
                return Err(Error::field("thresholds", value, "expected 0 to 1"));
            }
        }
        match self.abstain_below {
            Some(below) if !problem.is_single_label() => {
                let reason = format!("problem_type is {problem}: only single_label_classification abstains");
                Err(Error::field("abstain_below", below, reason))
            }
            Some(below) if !is_share(below) => Err(Error::field("abstain_below", below, "expected 0 to 1")),
            _ => Ok(()),
        }
    }
}

/// Least score at which a label applies.
pub(super) fn threshold(all: Option<&[f32]>, label: usize) -> f32 {
    all.and_then(|all| all.get(label)).copied().unwrap_or(THRESHOLD)
}

/// NaN is none.
fn is_share(value: f32) -> bool {
    (0.0..=1.0).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_field() {
        use ProblemType::{
            MultiLabelClassification as Multi, Regression, SingleLabelClassification as Single,
        };
        let with = |problem, thresholds: Option<&[f32]>, abstain_below| Decision {
            problem,
            thresholds: thresholds.map(<[f32]>::to_vec),
            abstain_below,
        };
        for good in [
            Decision::default(),
            with(Multi, Some(&[0.0, 1.0]), None),
            with(Multi, None, None),
            with(Single, None, Some(0.5)),
            with(Regression, None, None),
        ] {
            assert!(good.check(2).is_ok(), "{good:?}");
        }
        for (bad, words) in [
            (with(Single, Some(&[0.5, 0.5]), None), "thresholds = 2 numbers: problem_type is single_label"),
            (
                with(Multi, Some(&[0.5]), None),
                "thresholds = 1 numbers: expected one for each of the 2 labels",
            ),
            (with(Multi, Some(&[0.5, 1.5]), None), "thresholds = 1.5 for label 1: expected 0 to 1"),
            (with(Multi, Some(&[f32::NAN, 0.5]), None), "thresholds = NaN for label 0"),
            (with(Regression, None, Some(0.5)), "abstain_below = 0.5: problem_type is regression"),
            (with(Single, None, Some(-0.1)), "abstain_below = -0.1: expected 0 to 1"),
            (with(Single, None, Some(f32::INFINITY)), "abstain_below = inf"),
        ] {
            let error = bad.check(2).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
