use mimi_server::train::{Abstention, Confidence, calibrate};
use proptest::prelude::*;

fn answers(of: &[(f32, bool)]) -> Vec<Confidence> {
    of.iter().map(|&(probability, is_right)| Confidence { probability, is_right }).collect()
}

#[test]
fn the_threshold_keeps_most_and_parts_no_equals() {
    let found = calibrate(&answers(&[(0.9, true), (0.8, true), (0.6, false), (0.5, true)]), 0.75).unwrap();
    assert_eq!((found.below, found.kept, found.accuracy), (0.0, 1.0, 0.75));
    let found = calibrate(&answers(&[(0.9, true), (0.8, true), (0.6, false), (0.5, true)]), 0.8).unwrap();
    assert!((found.below - 0.7).abs() < 1e-6 && found.kept == 0.5 && found.accuracy == 1.0);
    // The second wrong answer is as sure as a right one: no threshold lies between them.
    assert_eq!(calibrate(&answers(&[(0.9, true), (0.9, false), (0.2, false)]), 0.6), None);
    assert_eq!(calibrate(&[], 0.5), None);
}

proptest! {
    #[test]
    fn it_is_the_best_of_all_thresholds(
        of in proptest::collection::vec((0u8..20, any::<bool>()), 1..40),
        accuracy in 0.0f64..1.0,
    ) {
        let of: Vec<(f32, bool)> = of.into_iter().map(|(p, right)| (f32::from(p) / 20.0, right)).collect();
        let of = answers(&of);
        let all = of.iter().map(|answer| Abstention::at(answer.probability, &of));
        let best = all.filter(|a| a.accuracy >= accuracy).map(|a| a.kept).fold(None, |most: Option<f64>, kept| {
            Some(most.map_or(kept, |most| most.max(kept)))
        });
        let found = calibrate(&of, accuracy);
        prop_assert_eq!(found.map(|found| found.kept), best);
        if let Some(found) = found {
            prop_assert_eq!(Abstention::at(found.below, &of), found);
            prop_assert!(found.accuracy >= accuracy);
        }
    }
}
