//! Tests of paired differences against SciPy's and statsmodels' numbers.

use mimi_server::train::study::statistics::{Interval, Pairs, bootstrap, holm, sign_flip, wilcoxon};
use serde_json::Value;

use crate::support::fixtures;

/// How far a percentile of 10,000 draws may lie from one of 400,000, as a share of the interval: five deviations.
const DRAWN: f64 = 0.05;

fn reference() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("statistics.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn p_values_and_intervals_are_scipys() {
    for case in reference()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let pairs = Pairs { sets: case["sets"].as_array().unwrap().iter().map(numbers).collect() };
        assert!((pairs.estimate() - case["estimate"].as_f64().unwrap()).abs() < 1e-12, "{name}");
        assert_eq!(sign_flip(&pairs), case["sign_flip"].as_f64(), "{name}");
        assert_eq!(wilcoxon(&pairs.means()), case["wilcoxon"].as_f64(), "{name}");
        let Interval { low, high } = bootstrap(&pairs).unwrap();
        let expected = numbers(&case["interval"]);
        let slack = DRAWN * (expected[1] - expected[0]);
        assert!(
            (low - expected[0]).abs() <= slack && (high - expected[1]).abs() <= slack,
            "{name} {low} {high}"
        );
    }
}

#[test]
fn adjusted_values_are_holms() {
    for case in reference()["holm"].as_array().unwrap() {
        let (found, expected) = (holm(&numbers(&case["p"])), numbers(&case["adjusted"]));
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
    }
}

#[test]
fn tests_do_not_care_which_arm_is_which_and_say_nothing_of_nothing() {
    let pairs = Pairs { sets: vec![vec![0.5, -0.2, 1.0], vec![0.1], vec![0.7, 0.4]] };
    let turned = Pairs { sets: pairs.sets.iter().map(|set| set.iter().map(|v| -v).collect()).collect() };
    assert_eq!(sign_flip(&pairs), sign_flip(&turned));
    let larger = Pairs { sets: pairs.sets.iter().map(|set| set.iter().map(|v| 7.0 * v).collect()).collect() };
    assert_eq!(sign_flip(&pairs), sign_flip(&larger), "the unit does not matter");
    let (at, seven) = (bootstrap(&pairs).unwrap(), bootstrap(&larger).unwrap());
    assert!(
        (7.0 * at.low - seven.low).abs() < 1e-9 && at.low <= pairs.estimate() && pairs.estimate() <= at.high
    );
    let none = Pairs::default();
    assert_eq!((bootstrap(&none), sign_flip(&none), wilcoxon(&[])), (None, None, None));
    assert_eq!(wilcoxon(&[1.0; 5]), None, "five sets cannot decide");
    let many = Pairs { sets: vec![vec![1.0; 25]] };
    assert_eq!(sign_flip(&many), None, "2^25 ways are not tried");
    assert!(holm(&[]).is_empty());
}
