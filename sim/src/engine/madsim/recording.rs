//! Conformance: what each life was told is replayed into a bare core, which must want the same; and
//! what it wanted was carried out once, or is accounted for as lost (design.md 6).

use crate::trace::seen::NodeId;
use doyen_core::config::ValidConfig;
use doyen_core::driver::{DriverLaunch, DriverProcess};
use doyen_core::identity::Identity;
use doyen_core::input::{Input, RequestId};
use doyen_core::output::{Answer, Output};
use doyen_core::process::Process;
use doyen_core::server::{Founding, ServerProcess};
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a process is made from.
#[derive(Clone, Debug)]
pub(super) enum Maker {
    Server(ValidConfig, Identity, Founding, Time),
    Driver(ValidConfig, DriverLaunch, Time),
}

impl Maker {
    fn make(&self) -> Process {
        match self.clone() {
            Self::Server(config, identity, founding, now) => Process::Server(Box::new(
                ServerProcess::new(config, identity, founding, now),
            )),
            Self::Driver(config, launch, now) => {
                Process::Driver(Box::new(DriverProcess::new(config, launch, now)))
            }
        }
    }

    const fn identity(&self) -> &Identity {
        match self {
            Self::Server(_, identity, _, _) => identity,
            Self::Driver(_, launch, _) => &launch.identity,
        }
    }
}

/// One thing that a process was told, or its beginning, and what it wanted then.
#[derive(Clone, Debug)]
struct Step {
    clock: Time,
    input: Option<Input>,
    outputs: Vec<Output>,
}

#[derive(Clone, Debug)]
struct Life {
    maker: Maker,
    steps: Vec<Step>,
    carried_out: Vec<Output>,
    lost: Vec<Output>,
    /// Acts that nobody wanted.
    unwanted: u64,
    ended: bool,
}

/// Everything that the processes of a run were told and wanted.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    lives: Vec<Life>,
    current: BTreeMap<NodeId, usize>,
    answered: Vec<(RequestId, Answer)>,
}

/// Why a recording does not conform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A bare core wants something else.
    #[error("{0}")]
    Differs(String),
    /// Something was carried out twice, or neither carried out nor lost, or came from nowhere.
    #[error("not accounted for: {0}")]
    Unaccounted(String),
}

/// What a recording showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    /// Lives replayed.
    pub lives: u64,
    /// Inputs replayed.
    pub inputs: u64,
    /// Outputs that were equal.
    pub outputs: u64,
    /// Commits, reads and effects carried out once.
    pub carried_out: u64,
    /// Those that were lost with their process.
    pub lost: u64,
    /// Those that a living process's tasks still had at the end.
    pub under_way: u64,
    /// Messages received, each of them sent once.
    pub messages: u64,
    /// Answers that clients got, each of them given once.
    pub answers: u64,
    /// The longest time by which a wake came later than it was wanted; a process that stood still
    /// is woken late.
    pub latest_wake: Duration,
}

impl Recording {
    pub(super) fn made(&mut self, node: NodeId, maker: Maker) {
        self.ended(node);
        let (Maker::Server(_, _, _, clock) | Maker::Driver(_, _, clock)) = &maker;
        let first = Step {
            clock: *clock,
            input: None,
            outputs: Vec::new(),
        };
        self.current.insert(node, self.lives.len());
        self.lives.push(Life {
            maker,
            steps: vec![first],
            carried_out: Vec::new(),
            lost: Vec::new(),
            unwanted: 0,
            ended: false,
        });
    }

    fn life(&mut self, node: NodeId) -> Option<&mut Life> {
        self.lives.get_mut(*self.current.get(&node)?)
    }

    pub(super) fn told(&mut self, node: NodeId, clock: Time, input: &Input) {
        if let Some(life) = self.life(node) {
            life.steps.push(Step {
                clock,
                input: Some(input.clone()),
                outputs: Vec::new(),
            });
        }
    }

    pub(super) fn wanted(&mut self, node: NodeId, output: &Output) {
        if let Some(step) = self.life(node).and_then(|life| life.steps.last_mut()) {
            step.outputs.push(output.clone());
        }
    }

    pub(super) fn carried_out(&mut self, node: NodeId, output: Option<&Output>) {
        if let Some(life) = self.life(node) {
            match output {
                Some(output) => life.carried_out.push(output.clone()),
                None => life.unwanted = life.unwanted.saturating_add(1),
            }
        }
    }

    pub(super) fn lost(&mut self, node: NodeId, output: &Output) {
        if let Some(life) = self.life(node) {
            life.lost.push(output.clone());
        }
    }

    pub(super) fn ended(&mut self, node: NodeId) {
        if let Some(life) = self.life(node) {
            life.ended = true;
        }
        self.current.remove(&node);
    }

    pub(super) fn answered(&mut self, request: RequestId, answer: &Answer) {
        self.answered.push((request, answer.clone()));
    }

    /// Replays every life into a bare core and accounts for everything.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn check(&self) -> Result<Conformance, Mismatch> {
        let mut found = Conformance::default();
        for life in &self.lives {
            life.replay(&mut found).map_err(Mismatch::Differs)?;
            life.account(&mut found).map_err(Mismatch::Unaccounted)?;
        }
        self.check_messages(&mut found)
            .and_then(|()| self.check_answers(&mut found))
            .map_err(Mismatch::Unaccounted)?;
        Ok(found)
    }

    fn check_messages(&self, found: &mut Conformance) -> Result<(), String> {
        let mut sent: BTreeMap<(Identity, Identity), Vec<&Message>> = BTreeMap::new();
        for life in &self.lives {
            for output in life.steps.iter().flat_map(|step| &step.outputs) {
                if let Output::Send { to, message } = output {
                    let way = (life.maker.identity().clone(), to.clone());
                    sent.entry(way).or_default().push(message);
                }
            }
        }
        for life in &self.lives {
            for input in life.steps.iter().filter_map(|step| step.input.as_ref()) {
                let Input::Message { from, message } = input else {
                    continue;
                };
                let to = life.maker.identity();
                let on_the_way = sent.get_mut(&(from.clone(), to.clone()));
                let taken = on_the_way.and_then(|messages| {
                    let at = messages.iter().position(|sent| *sent == message)?;
                    Some(messages.remove(at))
                });
                if taken.is_none() {
                    return Err(format!(
                        "{to} received from {from} what was not sent, or came twice: {message:?}"
                    ));
                }
                found.messages = found.messages.saturating_add(1);
            }
        }
        Ok(())
    }

    fn check_answers(&self, found: &mut Conformance) -> Result<(), String> {
        let mut given: BTreeMap<RequestId, &Answer> = BTreeMap::new();
        let outputs = self.lives.iter().flat_map(|life| &life.steps);
        for output in outputs.flat_map(|step| &step.outputs) {
            if let Output::Answer { request, answer } = output
                && given.insert(*request, answer).is_some()
            {
                return Err(format!("{request:?} was answered twice"));
            }
        }
        for (request, answer) in &self.answered {
            match given.remove(request) {
                Some(given) if given == answer => {
                    found.answers = found.answers.saturating_add(1);
                }
                Some(given) => {
                    return Err(format!(
                        "{request:?}: core said {given:?}, heard {answer:?}"
                    ));
                }
                // The host itself says 503 when its process stops.
                None if matches!(answer, Answer::NotReady { .. }) => {}
                None => return Err(format!("{request:?} heard {answer:?}, which nobody gave")),
            }
        }
        Ok(())
    }
}

impl Life {
    fn replay(&self, found: &mut Conformance) -> Result<(), String> {
        let mut bare = self.maker.make();
        let who = self.maker.identity();
        let last = self.steps.len().saturating_sub(1);
        for (at, step) in self.steps.iter().enumerate() {
            if let Some(input) = &step.input {
                if *input == Input::Timeout {
                    let due = bare.poll_timeout().filter(|due| *due <= step.clock);
                    let due = due.ok_or_else(|| {
                        format!("{who} was woken at {}, which it did not want", step.clock)
                    })?;
                    found.latest_wake = found.latest_wake.max(step.clock.since(due));
                }
                bare.handle(step.clock, input.clone());
                found.inputs = found.inputs.saturating_add(1);
            }
            let outputs: Vec<Output> = std::iter::from_fn(|| bare.poll_output()).collect();
            // A process that died in the middle of its outputs wanted the first of them.
            let died = self.ended && at == last && outputs.starts_with(&step.outputs);
            if outputs != step.outputs && !died {
                return Err(format!(
                    "{who}, step {at} at {}, told {:?}: a bare core wants {outputs:?}, \
                     but under the runtime it wanted {:?}",
                    step.clock, step.input, step.outputs
                ));
            }
            let equal = u64::try_from(step.outputs.len()).unwrap_or(u64::MAX);
            found.outputs = found.outputs.saturating_add(equal);
        }
        found.lives = found.lives.saturating_add(1);
        Ok(())
    }

    fn account(&self, found: &mut Conformance) -> Result<(), String> {
        let who = self.maker.identity();
        if self.unwanted > 0 {
            return Err(format!(
                "{who}: {} commits or effects were carried out that nobody wanted, or twice",
                self.unwanted
            ));
        }
        let is_act = |output: &&Output| {
            matches!(
                output,
                Output::Commit { .. } | Output::Read { .. } | Output::Effect(_)
            )
        };
        let outputs = self.steps.iter().flat_map(|step| &step.outputs);
        let wanted = outputs.filter(is_act).count();
        let done = self.carried_out.len().saturating_add(self.lost.len());
        let open = wanted.checked_sub(done).ok_or_else(|| {
            format!("{who}: {wanted} acts were wanted, {done} carried out or lost")
        })?;
        if self.ended && open > 0 {
            return Err(format!(
                "{who}: {open} acts are neither carried out nor lost"
            ));
        }
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        found.carried_out = found
            .carried_out
            .saturating_add(count(self.carried_out.len()));
        found.lost = found.lost.saturating_add(count(self.lost.len()));
        found.under_way = found.under_way.saturating_add(count(open));
        Ok(())
    }
}
