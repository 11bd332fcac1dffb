//! Which requests are traced.

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The part of traces that begin here, 0 to 1. It depends on the trace alone, so that servers choose the same.
    pub ratio: f64,
    /// Whether a client that tells of its trace decides.
    pub heeds_parent: bool,
}

impl Sampler {
    /// Every trace that begins here, and those that clients keep.
    pub const ALWAYS: Self = Self { ratio: 1.0, heeds_parent: true };

    /// A sampler by the name and argument that OpenTelemetry gives it.
    ///
    /// # Errors
    /// When there is no such sampler, or its argument is no ratio.
    pub fn named(name: &str, argument: Option<&str>) -> Result<Self, String> {
        let (kind, heeds_parent) = match name.strip_prefix("parentbased_") {
            Some(kind) => (kind, true),
            None => (name, false),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => {
                let text = argument.unwrap_or("1");
                let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| format!("the sampler's argument is {text:?}: expected 0 to 1"))?
            }
            _ => {
                return Err(format!(
                    "there is no sampler {name:?}: expected always_on, always_off, traceidratio, or one of these after \
                     parentbased_"
                ));
            }
        };
        Ok(Self { ratio, heeds_parent })
    }

    /// Whether a trace is kept, whose client keeps it or not if it told.
    pub fn samples(&self, trace: u128, parent: Option<bool>) -> bool {
        if let Some(kept) = parent.filter(|_| self.heeds_parent) {
            return kept;
        }
        // The lower 56 bits are random by the standard.
        let part = (trace & ((1 << 56) - 1)) as f64 / (1_u64 << 56) as f64;
        // The greatest parts round to 1.
        self.ratio >= 1.0 || part < self.ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_takes_its_part() {
        let sampler = Sampler::named("traceidratio", Some("0.25")).unwrap();
        let taken = (0..10_000).filter(|_| sampler.samples(rand::random(), None)).count();
        assert!((2_200..2_800).contains(&taken), "{taken}");
        assert!(sampler.samples(1, Some(false)) && !sampler.samples(u128::MAX, Some(true)));
    }

    #[test]
    fn parents_decide_where_they_may() {
        for (name, parent, kept) in [
            ("always_on", Some(false), true),
            ("always_off", Some(true), false),
            ("parentbased_always_on", Some(false), false),
            ("parentbased_always_on", None, true),
            ("parentbased_always_off", Some(true), true),
            ("parentbased_always_off", None, false),
            ("parentbased_traceidratio", None, true),
        ] {
            assert_eq!(Sampler::named(name, None).unwrap().samples(u128::MAX, parent), kept, "{name}");
        }
    }

    #[test]
    fn wrong_samplers_are_refused() {
        for (name, argument) in
            [("jaeger_remote", None), ("", None), ("traceidratio", Some("2")), ("traceidratio", Some("x"))]
        {
            assert!(Sampler::named(name, argument).is_err(), "{name}");
        }
    }
}
