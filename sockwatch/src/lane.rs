//! The middle of the street: from what a source hands on to what is told of it. Every run, live or recorded, goes through a
//! lane of its own; several may lead to the same reader.

use std::io;

use crate::{
    event::Time,
    lifecycle::{Engine, Life, Part, Report, Restore},
    output::{Scene, Sink},
    source::Step,
};

/// One run.
#[derive(Debug)]
pub struct Lane {
    engine: Engine,
    scene: Scene,
    settled: Time,
    events: u64,
    ended: bool,
    quiet: bool,
    restful: bool,
}

impl Lane {
    /// At the beginning.
    #[must_use]
    pub fn new(scene: Scene) -> Self {
        Self { engine: Engine::new(), scene, settled: 0, events: 0, ended: false, quiet: false, restful: false }
    }

    /// Leaves signals out, for a sink that does not want them.
    pub fn leave_out_signals(&mut self) {
        self.quiet = true;
        self.engine.leave_out_signals();
    }

    /// Keeps lives to which nothing happens in less memory, for a sink that does not look at [`Self::lives`].
    pub fn let_lives_rest(&mut self) {
        self.restful = true;
        self.engine.let_lives_rest();
    }

    /// Sockets that begin from now on get ids from this number on.
    pub fn number_from(&mut self, number: u64) {
        self.engine.number_from(number);
    }

    /// Where its sockets live.
    #[must_use]
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// About how much memory it holds, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.engine.weight()
    }

    /// Gives all that it knows.
    pub fn checkpoint(&self, give: &mut dyn FnMut(Part<&Life>)) {
        self.engine.checkpoint(give);
    }

    /// Another one that goes on from the same.
    #[must_use]
    pub fn copy(&self) -> Self {
        let Self { engine, scene, settled, events, ended, quiet, restful } = self;
        let mut restore = Restore::new();
        engine.checkpoint(&mut |part| restore.take(part.map(|life| Box::new(life.clone()))));
        let mut copy = Self {
            engine: restore.finish(),
            scene: scene.clone(),
            settled: *settled,
            events: *events,
            ended: *ended,
            quiet: *quiet,
            restful: *restful,
        };
        if *quiet {
            copy.engine.leave_out_signals();
        }
        if *restful {
            copy.engine.let_lives_rest();
        }
        copy
    }

    /// Sockets that are known now.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.engine.len()
    }

    /// These sockets, in no order. One that ended is among them until its end is told.
    ///
    /// # Panics
    /// After [`Self::let_lives_rest`].
    pub fn lives(&self) -> impl Iterator<Item = &Life> {
        self.engine.lives()
    }

    /// The one at an address, as a token; none if it is not known, or has ended.
    ///
    /// # Panics
    /// After [`Self::let_lives_rest`].
    #[must_use]
    pub fn life_at(&self, addr: u64) -> Option<&Life> {
        self.engine.life_at(addr)
    }

    /// Whether everything that existed when the run began was told of.
    #[must_use]
    pub fn is_surveyed(&self) -> bool {
        self.engine.is_surveyed()
    }

    /// Records that the kernel sent so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// A time up to which everything is known.
    #[must_use]
    pub fn settled(&self) -> Time {
        self.settled
    }

    /// Takes a step. Returns whether there may be something to tell.
    pub fn take(&mut self, step: Step) -> bool {
        let settles = matches!(step, Step::Settled { .. } | Step::End);
        match step {
            Step::Event(event) => self.engine.event(event),
            Step::Settled { now, events } => {
                self.settled = self.settled.max(now);
                self.events = events;
            }
            Step::Clock { since, offset } => self.scene.clock.step(since, offset),
            Step::End => self.ended = true,
        }
        settles
    }

    /// Tells what is settled.
    ///
    /// # Errors
    /// What the sink says.
    pub fn tell(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let (ended, settled) = (self.ended, self.settled);
        self.telling(sink, |engine, tell| if ended { engine.finish(tell) } else { engine.advance(settled, tell) })
    }

    /// When what is told next happened; none if nothing is settled.
    #[must_use]
    pub fn next_time(&self) -> Option<Time> {
        self.engine.next_time(if self.ended { Time::MAX } else { self.settled })
    }

    /// Tells that alone.
    ///
    /// # Errors
    /// What the sink says.
    pub fn tell_next(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let until = if self.ended { Time::MAX } else { self.settled };
        self.telling(sink, |engine, tell| {
            engine.advance_one(until, tell);
        })
    }

    /// Goes on from what was known behind a gap.
    ///
    /// # Errors
    /// What the sink says.
    pub fn resume(&mut self, engine: Engine, sink: &mut dyn Sink) -> io::Result<()> {
        self.telling(sink, |before, tell| before.resume(engine, tell))?;
        if self.quiet {
            self.engine.leave_out_signals();
        }
        Ok(())
    }

    fn telling(
        &mut self,
        sink: &mut dyn Sink,
        tell: impl FnOnce(&mut Engine, &mut dyn FnMut(Report<'_>)),
    ) -> io::Result<()> {
        let Self { engine, scene, .. } = self;
        let mut outcome = Ok(());
        tell(engine, &mut |report| {
            if outcome.is_ok() {
                outcome = sink.report(scene, report);
            }
        });
        outcome
    }
}
