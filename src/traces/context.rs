//! A request's place in a trace, as W3C `traceparent` tells it.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::sampler::Sampler;
use super::state;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace, not 0.
    pub trace: u128,
    /// The span, not 0.
    pub span: u64,
    /// Whether the trace is kept.
    pub is_sampled: bool,
}

impl Context {
    /// What a `traceparent` says; none where it is not one. A newer version may say more behind.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(5, '-');
        let mut hex = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let has_more = parts.next().is_some();
        let is_known = version != 0xff && !(version == 0 && has_more) && trace != 0 && span != 0;
        let span = u64::try_from(span).ok()?;
        is_known.then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }
}

impl Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// A request that begins, in the trace of its client or one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The request's own place.
    pub context: Context,
    /// The client's span, if it told one.
    pub parent: Option<u64>,
    /// What other tracers say of the client's trace, as `tracestate` tells it.
    pub state: Option<Arc<str>>,
}

impl Begun {
    /// Begins a request whose headers may have told where it belongs. What is said of a trace counts for nothing without
    /// the trace.
    pub fn new<'a>(
        sampler: &Sampler,
        traceparent: Option<&str>,
        tracestate: impl Iterator<Item = &'a str>,
    ) -> Self {
        let given = traceparent.and_then(Context::parse);
        let trace = given.map_or_else(|| some(rand::random::<u128>), |given| given.trace);
        let is_sampled = sampler.samples(trace, given.map(|given| given.is_sampled));
        let context = Context { trace, span: some(rand::random::<u64>), is_sampled };
        let state = given.and_then(|_| state::parse(tracestate));
        Self { context, parent: given.map(|given| given.span), state }
    }
}

/// One that is not 0.
pub(super) fn some<T: Default + PartialEq>(random: impl Fn() -> T) -> T {
    loop {
        let number = random();
        if number != T::default() {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., is_sampled: bool) {
            let context = Context { trace, span, is_sampled };
            prop_assert_eq!(Context::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn nothing_makes_it_fail(text in ".{0,80}", hex in "[0-9a-f-]{40,70}") {
            let _ = (Context::parse(&text), Context::parse(&hex));
        }
    }

    #[test]
    fn the_examples_of_the_standard() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let given = |text: String| Context::parse(&text).map(|context| context.is_sampled);
        assert_eq!(given(format!("00-{trace}-{span}-01")), Some(true));
        assert_eq!(given(format!("00-{trace}-{span}-00")), Some(false));
        assert_eq!(given(format!("cc-{trace}-{span}-01-what-the-future-will-be")), Some(true));
        for wrong in [
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-1"),
            String::new(),
        ] {
            assert_eq!(given(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_stays_in_its_clients_trace() {
        let told = Context { trace: 7, span: 8, is_sampled: false };
        let new = |told: Option<&str>| Begun::new(&Sampler::ALWAYS, told, ["a=1"].into_iter());
        let begun = new(Some(&told.to_string()));
        assert_eq!(begun.state.as_deref(), Some("a=1"));
        assert_eq!((begun.context.trace, begun.parent, begun.context.is_sampled), (7, Some(8), false));
        assert_ne!(begun.context.span, 8);
        let own = new(Some("nonsense"));
        assert_eq!((own.parent, own.context.is_sampled, &own.state), (None, true, &None));
        assert!(own.context.trace != 0 && own.context != new(None).context);
    }
}
