//! Progress of a training, on a terminal or in a log.
//!
//! On a terminal a bar is drawn over and over; elsewhere a line is written every few seconds, and one after every
//! epoch.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mimi_server::train::{Cycle, Epoch, Progress, Step};

/// Least time between two lines of one kind without a terminal.
const EVERY: Duration = Duration::from_secs(5);
/// What a bar looks like.
const TEMPLATE: &str = "{prefix} {wide_bar:.blue} {msg}";

/// Shows the progress of a training.
pub struct Reporter {
    bar: Option<ProgressBar>,
    pace: Pace,
    last: Instant,
    /// The step before the epoch's end, for what is known only of steps.
    step: Option<Step>,
    /// What the score is.
    score: &'static str,
}

impl Reporter {
    /// Draws bars if the error stream is a terminal.
    pub fn new() -> Self {
        Self::of("accuracy")
    }

    /// As [`Reporter::new`], for a training whose score has that name.
    pub fn of(score: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, pace: Pace::default(), last: Instant::now(), step: None, score }
    }

    /// Shows some news.
    pub fn show(&mut self, progress: Progress<'_>) {
        let now = Instant::now();
        match progress {
            Progress::Note(text) => self.line(text),
            Progress::Images { what, done, count, rate } => {
                let left = time((count - done) as f64 / rate.max(1e-9));
                let text = format!("{done} of {count}, {rate:.1} images/s, {left} left");
                self.moved((what, &text), (done, count), now);
                if done == count {
                    self.line(&format!("{what}: {count}, {rate:.1} images/s"));
                }
            }
            Progress::Step(step) => {
                self.step = Some(*step);
                let (mut place, left) = (place(step), self.pace.left(step, now));
                if self.bar.is_some() {
                    // Room for the bar in a narrow terminal.
                    place = place.replace(" of ", "/");
                }
                let told = told(step, self.score, left);
                self.moved((&place, &told), (step.done, step.count), now);
            }
            Progress::Epoch(epoch) => self.epoch(epoch, now),
            Progress::Cycle(cycle) => self.line(&cycle_line(cycle, self.score, self.step.as_ref())),
        }
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn epoch(&mut self, epoch: &Epoch, now: Instant) {
        let step = self.step.unwrap_or(Step { cycle: epoch.cycle, epoch: epoch.epoch, ..Step::default() });
        let left =
            self.pace.left(&step, now).map(|left| format!(", {} left", time(left))).unwrap_or_default();
        let score = self.score;
        self.line(&format!(
            "{}: loss {:.4}, {score} {:.4}; held out: loss {:.4}, {score} {:.4}; {:.1} images/s{left}",
            place(&step),
            epoch.loss,
            epoch.accuracy,
            epoch.validation_loss,
            epoch.validation_accuracy,
            epoch.rate
        ));
    }

    /// Draws the bar, or writes a line if the last is some time ago.
    fn moved(&mut self, (prefix, text): (&str, &str), (done, count): (usize, usize), now: Instant) {
        if let Some(bar) = &self.bar {
            bar.set_length(count as u64);
            bar.set_prefix(prefix.to_owned());
            bar.set_message(text.to_owned());
            bar.set_position(done as u64);
        } else if now.duration_since(self.last) >= EVERY {
            self.last = now;
            eprintln!("{prefix}: {text}");
        }
    }

    /// Writes a line, above the bar if there is one.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

/// `cycle 2 of 4, epoch 3 of 10`, numbered from 1.
fn place(step: &Step) -> String {
    let of = |number: usize, all: Option<usize>| match all {
        Some(all) => format!("{} of {all}", number + 1),
        None => (number + 1).to_string(),
    };
    let epoch = format!("epoch {}", of(step.epoch, Some(step.epochs)));
    match step.trainings {
        Some(1) => epoch,
        trainings => format!("cycle {}, {epoch}", of(step.cycle, trainings)),
    }
}

fn told(step: &Step, score: &str, left: Option<f64>) -> String {
    let left = left.map(|left| format!(", {} left", time(left))).unwrap_or_default();
    format!(
        "{}/{}, loss {:.3}, {score} {:.3}, {:.1} images/s{left}",
        step.done, step.count, step.loss, step.accuracy, step.rate
    )
}

fn cycle_line(cycle: &Cycle, score: &str, step: Option<&Step>) -> String {
    let of = step.and_then(|step| step.trainings).map(|all| format!(" of {all}")).unwrap_or_default();
    // BitFit and SSF have no neurons to count.
    let neurons = match cycle.neurons {
        0 => String::new(),
        neurons => format!("rate {:.1}, {neurons} neurons in {} modules, ", cycle.sigma, cycle.widths.len()),
    };
    format!(
        "cycle {}{of} ends: {neurons}{} parameters with the head, {:.3} GFLOPs an image, held-out {score} {:.4}",
        cycle.cycle + 1,
        cycle.parameters,
        cycle.flops as f64 / 1e9,
        cycle.validation_accuracy
    )
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{} min", m + u64::from(s >= 30)),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// How fast a training went since it was first heard of; what was done before (by a run that this one resumes) does
/// not count.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    first: Option<(Instant, f64)>,
    /// Where it was last, to notice another training.
    last: f64,
}

impl Pace {
    /// Seconds to the end of the training at the speed so far, pauses between epochs included; none where the end
    /// is not known or nothing was heard yet.
    fn left(&mut self, step: &Step, now: Instant) -> Option<f64> {
        let done = ((step.cycle * step.epochs + step.epoch) * step.count + step.done) as f64;
        if done < self.last {
            self.first = None;
        }
        self.last = done;
        let (since, before) = *self.first.get_or_insert((now, done));
        let all = (step.trainings? * step.epochs * step.count) as f64;
        let speed = (done - before) / now.duration_since(since).as_secs_f64();
        (speed > 0.0 && speed.is_finite()).then(|| (all - done).max(0.0) / speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(cycle: usize, epoch: usize, done: usize) -> Step {
        Step { cycle, epoch, epochs: 4, trainings: Some(3), done, count: 50, ..Step::default() }
    }

    #[test]
    fn a_steady_training_ends_when_it_was_said_to() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        // 600 images at 2 a second; begun, or taken up again, after the first ten.
        assert_eq!(pace.left(&step(0, 0, 10), start), None);
        for images in (20..=600).step_by(10) {
            let now = start + Duration::from_millis(500 * (images - 10));
            let at = images as usize - 1;
            let left = pace.left(&step(at / 200, at / 50 % 4, at % 50 + 1), now);
            assert!(
                left.is_some_and(|left| (left - (600 - images) as f64 / 2.0).abs() < 1e-6),
                "{images}: {left:?}"
            );
        }
        // Another training begins: its speed is its own.
        assert_eq!(pace.left(&step(0, 0, 10), start + Duration::from_secs(999)), None);
        let left = pace.left(&step(0, 0, 20), start + Duration::from_secs(1000));
        assert!(left.is_some_and(|left| (left - 58.0).abs() < 1e-6));
    }

    #[test]
    fn an_end_that_is_not_known_is_not_told() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let open = |done| Step { trainings: None, ..step(0, 0, done) };
        assert_eq!(pace.left(&open(10), start), None);
        assert_eq!(pace.left(&open(20), start + Duration::from_secs(1)), None);
        assert_eq!(place(&open(10)), "cycle 1, epoch 1 of 4");
        assert_eq!(place(&step(1, 2, 10)), "cycle 2 of 3, epoch 3 of 4");
    }

    #[test]
    fn times_are_said_as_people_do() {
        for (seconds, said) in [
            (0.4, "0 s"),
            (59.6, "1 min"),
            (100.0, "2 min"),
            (725.0, "12 min"),
            (3600.0 * 26.5, "26 h 30 min"),
        ] {
            assert_eq!(time(seconds), said);
        }
    }
}
