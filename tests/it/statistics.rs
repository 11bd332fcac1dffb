//! Tests of paired differences against SciPy's and statsmodels' numbers.

use mimi_server::train::study::statistics::{Interval, Pairs, bootstrap, holm, mcnemar, sign_flip, wilcoxon};
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
fn the_exact_test_of_two_answers_is_statsmodels() {
    for case in reference()["mcnemar"].as_array().unwrap() {
        let count = |name: &str| case[name].as_u64().unwrap() as usize;
        let (found, expected) = (mcnemar(count("first"), count("second")), case["p"].as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-9 * expected, "{case}: {found}");
    }
    assert!((mcnemar(0, 20) - 2.0 * 0.5_f64.powi(20)).abs() < 1e-18, "all twenty on one side");
    assert!((0.0..1e-300).contains(&mcnemar(0, 5000)), "no number is too small to end with");
}

#[test]
fn tests_do_not_care_which_arm_is_which_and_say_nothing_of_nothing() {
    let pairs = Pairs { sets: vec![vec![0.5, -0.2, 1.0], vec![0.1], vec![0.7, 0.4]] };
    let turned = Pairs { sets: pairs.sets.iter().map(|set| set.iter().map(|v| -v).collect()).collect() };
    // No way gives the sum that was seen but the one that was seen, and counts on both sides.
    let both = sign_flip(&pairs).unwrap() + sign_flip(&turned).unwrap();
    assert!(both > 1.0 && both < 1.2, "{both}");
    let larger = Pairs { sets: pairs.sets.iter().map(|set| set.iter().map(|v| 7.0 * v).collect()).collect() };
    assert_eq!(sign_flip(&pairs), sign_flip(&larger), "the unit does not matter");
    let (at, seven) = (bootstrap(&pairs).unwrap(), bootstrap(&larger).unwrap());
    assert!(
        (7.0 * at.low - seven.low).abs() < 1e-9 && at.low <= pairs.estimate() && pairs.estimate() <= at.high
    );
    let none = Pairs::default();
    assert_eq!((bootstrap(&none), sign_flip(&none), wilcoxon(&[])), (None, None, None));
    assert_eq!(wilcoxon(&[1.0; 4]), None, "four sets cannot decide");
    let noise = [1.0, 1.0 + 1e-12, 1.0 - 1e-12, 1.0, 1.0, -1.0, 1e-13];
    assert_eq!(wilcoxon(&noise), wilcoxon(&[1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0]), "noise is no difference");
    assert!(holm(&[]).is_empty());
}

/// Ways to choose at least `least` of `count`.
fn at_least(least: u64, count: u64) -> f64 {
    let choose = |k: u64| (1..=k).fold(1.0, |ways, i| ways * (count - k + i) as f64 / i as f64);
    (least..=count).map(choose).sum()
}

#[test]
fn ties_among_many_pairs_are_counted_and_more_pairs_are_drawn() {
    let of = |count: usize, minus: usize| Pairs {
        sets: vec![(0..count).map(|at| if at % 3 == 0 && at / 3 < minus { -0.1 } else { 0.1 }).collect()],
    };
    // As far as what was seen are the ways with 17 pluses or more.
    assert_eq!(sign_flip(&of(24, 7)), Some(at_least(17, 24) / 2_f64.powi(24)));
    let (drawn, exact) = (sign_flip(&of(30, 9)).unwrap(), at_least(21, 30) / 2_f64.powi(30));
    assert!((drawn - exact).abs() < 5.0 * (exact / 100_000.0).sqrt(), "{drawn} {exact}");
    assert_eq!(sign_flip(&of(40, 0)), Some(1.0 / 100_001.0), "never zero");
}

#[test]
fn a_bound_moves_the_hypothesis() {
    let pairs = Pairs { sets: vec![vec![1.0, 1.2, 0.9], vec![1.1, 1.3, 0.8]] };
    assert_eq!(sign_flip(&pairs), Some(1.0 / 64.0));
    assert!(sign_flip(&pairs.less(1.0)).unwrap() > 0.1 && sign_flip(&pairs.less(2.0)).unwrap() == 1.0);
}
