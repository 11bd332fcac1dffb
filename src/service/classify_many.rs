//! One image under several tasks.

use std::collections::BTreeSet;
use std::slice;
use std::time::Instant;

use futures::future::join_all;

use super::answer::{Answered, AnsweredMany, RowRun, TaskAnswer};
use super::ask::AskMany;
use super::error::Error;
use super::handle::Service;
use super::prepare::Given;
use super::rejection::Ending;
use super::rows::Scored;
use crate::reload::Pinned;

impl Service {
    /// Classifies one image under several tasks. A task that fails leaves the others their answers, and each task is
    /// counted.
    ///
    /// # Errors
    /// When the tasks are too few, too many or not distinct, rows are not admitted, or the image cannot be prepared.
    pub async fn classify_many(&self, ask: AskMany) -> Result<AnsweredMany, Error> {
        let AskMany { tasks, image, arrived, terms } = ask;
        self.check_tasks(&tasks)?;
        let started = Instant::now();
        let pins = join_all(tasks.iter().map(|task| self.pin(&terms.caller, task, terms.deadline))).await;
        let found: Vec<Pinned> = pins.iter().flatten().cloned().collect();
        // An image under unknown tasks is decoded too, so it takes a place as any other.
        let rows = if found.is_empty() { slice::from_ref(&self.shared.bare) } else { &found[..] };
        let places = self.admit(&terms, rows.iter())?;
        let image = Given::encoded(0, image);
        let scores = self.score(image, &found, places, &terms).await?;
        let mut spent = scores.spent;
        let mut scored = scores.tasks.into_iter();
        let mut answers = Vec::with_capacity(tasks.len());
        for (name, pin) in tasks.into_iter().zip(pins) {
            answers.push(match pin {
                Err(error) => TaskAnswer { name, outcome: Err(error), run: None },
                Ok(pinned) => {
                    let scored = scored.next().unwrap_or_else(|| Err(Error::missing_row()));
                    self.ended(&pinned, scored.is_ok(), started.elapsed());
                    self.answered(name, pinned, scored)
                }
            });
        }
        for TaskAnswer { name, outcome, .. } in &answers {
            self.count(Some(&terms.caller), name, Ending::of(outcome), Some(arrived.elapsed()));
            spent = outcome.iter().fold(spent, |spent, answered| spent.join(answered.spent));
        }
        let is_one = matches!(&answers[..], [one] if one.outcome.is_ok());
        let maker = self.maker(found.first().filter(|_| is_one));
        Ok(AnsweredMany { tasks: answers, maker, spent })
    }

    fn check_tasks(&self, tasks: &[String]) -> Result<(), Error> {
        let (count, limit) = (tasks.len(), self.shared.options.max_tasks);
        if count == 0 || count > limit {
            return Err(Error::Invalid(format!("{count} task(s): expected 1 to {limit}")));
        }
        let distinct: BTreeSet<&str> = tasks.iter().map(String::as_str).collect();
        if distinct.len() != count {
            return Err(Error::Invalid("a task is listed twice in \"tasks\"".into()));
        }
        Ok(())
    }

    fn answered(&self, name: String, pinned: Pinned, scored: Result<Scored, Error>) -> TaskAnswer {
        let shared = scored.as_ref().ok().map(|scored| scored.shared);
        let run = shared.map(|shared| RowRun { whole_flops: pinned.pack.flops, shared });
        let maker = self.maker(Some(&pinned));
        let told = |Scored { said, spent, .. }| Answered {
            task: pinned.task,
            version: pinned.version,
            images: vec![said],
            maker,
            spent,
        };
        TaskAnswer { name, outcome: scored.map(told), run }
    }
}
