//! Machines and their processes: pids that are used again, boots, locks, and the attempts of drivers
//! with what they started. What is true here is what proofs and kills are judged by.

use super::events::Life;
use crate::trace::seen::NodeId;
use doyen_core::driver::DriverLaunch;
use doyen_core::identity::{ContextId, Incarnation, JobId};
use doyen_core::input::Verdict;
use doyen_core::records::context::{IntentNumber, Owner, ProcessId};
use doyen_core::time::Time;
use std::collections::BTreeMap;

/// Names a machine of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// Names an attempt of a run: one driver process and what it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptId(pub usize);

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its id.
    pub name: String,
    /// How often it has booted.
    pub boot: u32,
    pids: u32,
    /// Who has a pid now, and since when: an attempt, or somebody else.
    processes: BTreeMap<u32, (u64, Option<AttemptId>)>,
    /// Contexts whose lock file was ever made here.
    locks: Vec<ContextId>,
}

/// A job in an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunningJob {
    /// Its code runs.
    pub(crate) runs: bool,
    /// It is being killed.
    pub(crate) dies: bool,
    /// It ends with an error.
    pub(crate) fails: bool,
    /// How long it runs, in microseconds.
    pub(crate) lasts: u64,
}

/// A driver's engine child under its keeper.
#[derive(Clone, Debug)]
pub(crate) struct EngineChild {
    pub(crate) is_ready: bool,
    /// Told to end.
    pub(crate) is_ending: bool,
    pub(crate) ignores_term: bool,
    pub(crate) jobs: BTreeMap<JobId, RunningJob>,
}

/// One driver process and what it started.
#[derive(Clone, Debug)]
pub struct DriverAttempt {
    pub(crate) context: ContextId,
    pub(crate) context_name: String,
    pub(crate) intent: IntentNumber,
    pub(crate) driver: Incarnation,
    pub(crate) host: HostId,
    pub(crate) process: ProcessId,
    pub(crate) launch: Option<DriverLaunch>,
    pub(crate) launcher: NodeId,
    /// Where its process lives, once it has come to life.
    pub(crate) node: Option<NodeId>,
    /// Its process holds the lock.
    pub(crate) driver_lives: bool,
    pub(crate) engine: Option<EngineChild>,
    /// Its lock is no use: another data folder, a file system without locks.
    pub(crate) without_lock: bool,
    /// Its child outlives it until the keeper's bound.
    pub(crate) orphans: bool,
    /// Its children do not heed SIGTERM.
    pub(crate) ignores_term: bool,
}

impl DriverAttempt {
    /// Whether any process of it lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.driver_lives || self.engine.is_some()
    }
}

/// All machines and attempts.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: Vec<Host>,
    pub(crate) attempts: Vec<DriverAttempt>,
}

/// What a launch is given.
#[derive(Clone, Debug)]
pub(crate) struct NewAttempt {
    pub(crate) context: ContextId,
    pub(crate) context_name: String,
    pub(crate) intent: IntentNumber,
    pub(crate) driver: Incarnation,
    pub(crate) host: HostId,
    pub(crate) launcher: Life,
}

impl Hosts {
    /// One more machine.
    pub fn add(&mut self, name: &str) -> HostId {
        self.hosts.push(Host {
            name: name.to_owned(),
            boot: 1,
            pids: 1_000,
            processes: BTreeMap::new(),
            locks: Vec::new(),
        });
        HostId(self.hosts.len() - 1)
    }

    /// Every machine.
    pub fn ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// A machine.
    #[must_use]
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0]
    }

    /// A process is started for a launch; it has a pid, and holds no lock yet.
    pub(crate) fn start(&mut self, now: Time, new: NewAttempt) -> AttemptId {
        let id = AttemptId(self.attempts.len());
        let host = &mut self.hosts[new.host.0];
        host.pids = host.pids.wrapping_add(1);
        let process = ProcessId {
            host: host.name.clone(),
            boot: boot_id(host),
            pid: host.pids,
            // Ticks of 10 ms, as the kernel counts them.
            start_time: now.as_millis() / 10,
        };
        host.processes
            .insert(process.pid, (process.start_time, Some(id)));
        self.attempts.push(DriverAttempt {
            context: new.context,
            context_name: new.context_name,
            intent: new.intent,
            driver: new.driver,
            host: new.host,
            process,
            launch: None,
            launcher: new.launcher.node,
            node: None,
            driver_lives: false,
            engine: None,
            without_lock: false,
            orphans: false,
            ignores_term: false,
        });
        id
    }

    /// A driver takes its lock (E2); `false` when another process of the host holds it.
    pub(crate) fn take_lock(&mut self, id: AttemptId) -> bool {
        let (context, host) = (self[id].context.clone(), self[id].host);
        let locks = &mut self.hosts[host.0].locks;
        if !locks.contains(&context) {
            locks.push(context.clone());
        }
        let free = self[id].without_lock || !self.is_locked(host, &context);
        self[id].driver_lives = free;
        if !free {
            self.forget_pid(id);
        }
        free
    }

    fn is_locked(&self, host: HostId, context: &ContextId) -> bool {
        let mut here = self.attempts.iter();
        here.any(|one| {
            one.host == host && one.context == *context && one.lives() && !one.without_lock
        })
    }

    /// A driver process is gone; its pid is free.
    pub(crate) fn forget_pid(&mut self, id: AttemptId) {
        let (host, pid) = (self[id].host, self[id].process.pid);
        let processes = &mut self.hosts[host.0].processes;
        if processes.get(&pid).is_some_and(|(_, of)| *of == Some(id)) {
            processes.remove(&pid);
        }
    }

    /// The pid of a driver that is gone is given to another process of its host.
    pub(crate) fn reuse_pid(&mut self, now: Time, id: AttemptId) {
        let (host, pid) = (self[id].host, self[id].process.pid);
        let start = now.as_millis() / 10 + 1;
        self.hosts[host.0].processes.insert(pid, (start, None));
    }

    /// Every process of a machine ends at once, and it boots again.
    pub(crate) fn power_off(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        host.boot += 1;
        host.processes.clear();
    }

    /// What a server finds out about an attempt (server/src/engine/attempt.rs): marks, then the lock.
    pub(crate) fn verify(
        &self,
        host: HostId,
        context: &ContextId,
        owner: Option<&Owner>,
    ) -> Verdict {
        let here = &self.hosts[host.0];
        if owner.is_some_and(|owner| owner.process.host != here.name) {
            return Verdict::Unknown;
        }
        let mut marked = self.attempts.iter().filter(|one| {
            one.host == host
                && one.context == *context
                && owner.is_none_or(|owner| owner.driver == one.driver)
        });
        if marked.any(|one| one.lives() || self.has_pid(one)) {
            return Verdict::Alive;
        }
        if owner.is_some_and(|owner| owner.process.boot != boot_id(here)) {
            return Verdict::Dead;
        }
        let was_made = here.locks.contains(context);
        match (self.is_locked(host, context), was_made) {
            (true, _) => Verdict::Alive,
            (false, true) => Verdict::Dead,
            (false, false) if owner.is_none() => Verdict::Dead,
            (false, false) => Verdict::Unknown,
        }
    }

    /// Whether the process of an attempt exists, also before it took its lock.
    fn has_pid(&self, one: &DriverAttempt) -> bool {
        let processes = &self.hosts[one.host.0].processes;
        let found = processes.get(&one.process.pid);
        found.is_some_and(|(start, of)| *start == one.process.start_time && of.is_some())
    }

    /// Whether anything of an attempt really lives, anywhere.
    pub(crate) fn really_lives(&self, context: &ContextId, driver: Option<Incarnation>) -> bool {
        let mut of = self.attempts.iter();
        of.any(|one| {
            one.context == *context
                && driver.is_none_or(|driver| one.driver == driver)
                && one.lives()
        })
    }

    /// Whom a kill hits: the process of this pid, if it is the one that was meant (E5).
    pub(crate) fn find(&self, host: HostId, owner: &Owner) -> Option<AttemptId> {
        let here = &self.hosts[host.0];
        if owner.process.host != here.name || owner.process.boot != boot_id(here) {
            return None;
        }
        let (start, attempt) = here.processes.get(&owner.process.pid)?;
        attempt.filter(|_| *start == owner.process.start_time)
    }

    /// The attempt of this driver.
    pub(crate) fn of_driver(&self, driver: Incarnation) -> Option<AttemptId> {
        let index = self.attempts.iter().position(|one| one.driver == driver);
        index.map(AttemptId)
    }
}

fn boot_id(host: &Host) -> String {
    format!("{}-{}", host.name, host.boot)
}

impl std::ops::Index<AttemptId> for Hosts {
    type Output = DriverAttempt;

    fn index(&self, id: AttemptId) -> &DriverAttempt {
        &self.attempts[id.0]
    }
}

impl std::ops::IndexMut<AttemptId> for Hosts {
    fn index_mut(&mut self, id: AttemptId) -> &mut DriverAttempt {
        &mut self.attempts[id.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(hosts: &mut Hosts, host: HostId, driver: u64) -> AttemptId {
        let new = NewAttempt {
            context: ContextId::new("c"),
            context_name: "c".to_owned(),
            intent: IntentNumber(1),
            driver: Incarnation(driver),
            host,
            launcher: Life {
                node: NodeId(0),
                number: 1,
            },
        };
        hosts.start(Time::from_millis(driver * 100), new)
    }

    fn owner(hosts: &Hosts, id: AttemptId) -> Owner {
        Owner {
            driver: hosts[id].driver,
            process: hosts[id].process.clone(),
        }
    }

    #[test]
    fn one_lock_admits_one_attempt_and_its_child_keeps_it() {
        let mut hosts = Hosts::default();
        let host = hosts.add("h1");
        let (one, other) = (attempt(&mut hosts, host, 1), attempt(&mut hosts, host, 2));
        assert!(hosts.take_lock(one));
        assert!(!hosts.take_lock(other));
        let owner = owner(&hosts, one);
        let context = ContextId::new("c");
        assert_eq!(hosts.verify(host, &context, Some(&owner)), Verdict::Alive);
        hosts[one].driver_lives = false;
        hosts.forget_pid(one);
        hosts[one].engine = Some(EngineChild {
            is_ready: true,
            is_ending: false,
            ignores_term: false,
            jobs: BTreeMap::new(),
        });
        assert_eq!(hosts.verify(host, &context, Some(&owner)), Verdict::Alive);
        hosts[one].engine = None;
        assert_eq!(hosts.verify(host, &context, Some(&owner)), Verdict::Dead);
        assert!(!hosts.really_lives(&context, None));
    }

    #[test]
    fn a_kill_hits_no_process_that_got_the_pid_later() {
        let mut hosts = Hosts::default();
        let host = hosts.add("h1");
        let one = attempt(&mut hosts, host, 1);
        assert!(hosts.take_lock(one));
        let owner = owner(&hosts, one);
        assert_eq!(hosts.find(host, &owner), Some(one));
        hosts[one].driver_lives = false;
        hosts.forget_pid(one);
        hosts.reuse_pid(Time::from_millis(9_000), one);
        assert_eq!(hosts.find(host, &owner), None);
    }

    #[test]
    fn another_host_cannot_tell_and_another_boot_proves_death() {
        let mut hosts = Hosts::default();
        let (host, other) = (hosts.add("h1"), hosts.add("h2"));
        let one = attempt(&mut hosts, host, 1);
        assert!(hosts.take_lock(one));
        let owner = owner(&hosts, one);
        let context = ContextId::new("c");
        assert_eq!(
            hosts.verify(other, &context, Some(&owner)),
            Verdict::Unknown
        );
        assert_eq!(hosts.verify(other, &context, None), Verdict::Dead);
        hosts[one].driver_lives = false;
        hosts.power_off(host);
        assert_eq!(hosts.verify(host, &context, Some(&owner)), Verdict::Dead);
    }
}
