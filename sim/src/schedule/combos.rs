//! Combinations of faults at the edges of the protocol: the moment of a hand-over, between a
//! decision and its act, in the middle of a take-over, of a launch, of a split.

use super::draw::Draw;
use super::model::{Accident, Act, At, Fault, FaultKind, LaunchFault, Target, Topology};
use super::topology;

/// Every combination, with its weight in a run that has them all.
pub(super) const COMBOS: [(&str, u32); 14] = [
    ("leave-and-accident", 12),
    ("holder-paused-and-cut", 10),
    ("take-over-and-accident", 14),
    ("holder-acts-too-late", 14),
    ("crash-while-leaving", 8),
    ("join-during-split", 10),
    ("losing-side-acts-too-late", 12),
    ("holder-loses-store", 8),
    ("driver-acts-too-late", 10),
    ("launch-and-accident", 10),
    ("formation-and-accident", 10),
    ("found-again", 8),
    ("two-deaths", 8),
    ("deaf-or-mute", 8),
];

const MOMENT: At = At::from_millis(1);
const BLINK: At = At::from_millis(20);
const SHORT: At = At::from_millis(200);
const WHILE: At = At::from_secs(4);
const LONG: At = At::from_secs(40);

impl Draw<'_> {
    /// The faults of this combination, around a time.
    pub(super) fn combo(&mut self, name: &str, at: At) -> Vec<Fault> {
        match name {
            "leave-and-accident" => self.leave_and_accident(at),
            "holder-paused-and-cut" => self.holder_paused_and_cut(at),
            "take-over-and-accident" => self.take_over_and_accident(at),
            "holder-acts-too-late" => self.holder_acts_too_late(at),
            "crash-while-leaving" => self.crash_while_leaving(at),
            "join-during-split" => self.join_during_split(at),
            "losing-side-acts-too-late" => self.losing_side_acts_too_late(at),
            "holder-loses-store" => self.holder_loses_store(at),
            "driver-acts-too-late" => self.driver_acts_too_late(at),
            "launch-and-accident" => self.launch_and_accident(at),
            "formation-and-accident" => self.formation_and_accident(),
            "found-again" => self.found_again(at),
            "two-deaths" => self.two_deaths(at),
            _ => self.deaf_or_mute(at),
        }
    }

    fn fault(&mut self, at: At, kind: FaultKind, least: At, most: At) -> Fault {
        let span = self.stream.span(least, most);
        Fault {
            until: self.end(at, span),
            ..Fault::new(at, kind)
        }
    }

    fn accident_at(&mut self, at: At, target: Target, act: Act, nth: u32, what: Accident) -> Fault {
        let kind = FaultKind::AtAct {
            target,
            act,
            nth,
            what,
        };
        self.fault(at, kind, SHORT, LONG)
    }

    fn leave_and_accident(&mut self, at: At) -> Vec<Fault> {
        let target = if self.stream.percent(70) {
            Target::SingletonHost
        } else {
            self.cast.server(&mut self.stream)
        };
        let (act, nth, what) = (self.act(), self.stream.between_u32(1, 5), self.accident());
        let accident = self.accident_at(at, target.clone(), act, nth, what);
        let leave = self.fault(at, FaultKind::Leave { target }, WHILE, LONG);
        vec![accident, leave]
    }

    fn holder_paused_and_cut(&mut self, at: At) -> Vec<Fault> {
        let target = Target::SingletonHost;
        let pause = self.fault(
            at,
            FaultKind::Pause {
                target: target.clone(),
            },
            SHORT,
            LONG,
        );
        let later = self.near(at, MOMENT, WHILE);
        let topology = if self.stream.percent(50) {
            Topology::Isolate(vec![target])
        } else {
            topology::build("halves", &self.cast, &mut self.stream)
        };
        let refuses = self.stream.percent(20);
        vec![
            pause,
            self.fault(later, FaultKind::Cut { topology, refuses }, SHORT, LONG),
        ]
    }

    /// The holder dies or stands still, and those who may take the office have accidents at it.
    fn take_over_and_accident(&mut self, at: At) -> Vec<Fault> {
        let mut faults = Vec::new();
        for target in self.cast.servers.clone() {
            if self.stream.percent(60) {
                let act = if self.stream.percent(75) {
                    Act::Commit
                } else {
                    Act::Read
                };
                let (nth, what) = (self.stream.between_u32(1, 6), self.accident());
                faults.push(self.accident_at(at, target, act, nth, what));
            }
        }
        let target = Target::SingletonHost;
        let kind = match self.stream.below(3) {
            0 => FaultKind::Crash { target },
            1 => FaultKind::Pause { target },
            _ => FaultKind::Cut {
                topology: Topology::Isolate(vec![target]),
                refuses: false,
            },
        };
        faults.push(self.fault(at, kind, SHORT, LONG));
        faults
    }

    /// The holder decides, stops for longer than a claim takes, then acts; or its act comes late.
    fn holder_acts_too_late(&mut self, at: At) -> Vec<Fault> {
        let target = Target::SingletonHost;
        let what = if self.stream.percent(60) {
            Accident::PauseBefore
        } else {
            Accident::ActLate
        };
        let act = if self.stream.percent(80) {
            Act::Commit
        } else {
            Act::Effect
        };
        let nth = self.stream.between_u32(1, 4);
        let kind = FaultKind::AtAct {
            target: target.clone(),
            act,
            nth,
            what,
        };
        let late = self.fault(at, kind, At::from_millis(900), At::from_secs(15));
        let mut faults = vec![late];
        if what == Accident::ActLate {
            let later = self.near(at, MOMENT, WHILE);
            faults.push(self.fault(later, FaultKind::Crash { target }, SHORT, LONG));
        }
        faults
    }

    fn crash_while_leaving(&mut self, at: At) -> Vec<Fault> {
        let target = self.cast.server(&mut self.stream);
        // By name, so that both hit the same one.
        let target = match target {
            Target::Named(_) => target,
            _ => self
                .stream
                .pick(&self.cast.servers)
                .cloned()
                .unwrap_or(Target::FirstSeed),
        };
        let leave = self.fault(
            at,
            FaultKind::Leave {
                target: target.clone(),
            },
            SHORT,
            LONG,
        );
        let later = self.near(at, BLINK, WHILE);
        vec![
            leave,
            self.fault(later, FaultKind::Crash { target }, BLINK, WHILE),
        ]
    }

    fn join_during_split(&mut self, at: At) -> Vec<Fault> {
        let joiner = self
            .stream
            .pick(&self.cast.servers)
            .cloned()
            .unwrap_or(Target::FirstSeed);
        let crash = Fault {
            until: Some(self.near(at, SHORT, WHILE)).filter(|until| *until > at),
            ..Fault::new(at, FaultKind::Crash { target: joiner })
        };
        let later = self.near(at, MOMENT, SHORT);
        let kind = FaultKind::Cut {
            topology: topology::build("halves", &self.cast, &mut self.stream),
            refuses: false,
        };
        vec![crash, self.fault(later, kind, WHILE, LONG)]
    }

    /// A split, and whoever announces or decides it stops before a commit of it is sent.
    fn losing_side_acts_too_late(&mut self, at: At) -> Vec<Fault> {
        let name = ["halves", "majority", "role-alone", "three-parts", "one-way"];
        let name = self.stream.pick(&name).copied().unwrap_or("halves");
        let kind = FaultKind::Cut {
            topology: topology::build(name, &self.cast, &mut self.stream),
            refuses: self.stream.percent(10),
        };
        let mut faults = vec![self.fault(at, kind, At::from_secs(8), LONG)];
        for target in self.cast.servers.clone() {
            if self.stream.percent(50) {
                let later = self.near(at, At::from_secs(3), At::from_secs(26));
                let nth = self.stream.between_u32(1, 8);
                let what = if self.stream.percent(70) {
                    Accident::PauseBefore
                } else {
                    Accident::ActLate
                };
                faults.push(self.accident_at(later, target, Act::Commit, nth, what));
            }
        }
        faults
    }

    fn holder_loses_store(&mut self, at: At) -> Vec<Fault> {
        let kind = FaultKind::StoreAway {
            targets: vec![Target::SingletonHost],
            refuses: self.stream.percent(40),
        };
        let mut faults = vec![self.fault(at, kind, SHORT, LONG)];
        if self.stream.percent(50) {
            let later = self.near(at, SHORT, WHILE);
            let topology = topology::build("one-way", &self.cast, &mut self.stream);
            let kind = FaultKind::Cut {
                topology,
                refuses: false,
            };
            faults.push(self.fault(later, kind, SHORT, LONG));
        }
        faults
    }

    fn driver_acts_too_late(&mut self, at: At) -> Vec<Fault> {
        let Some(driver) = self.cast.driver(&mut self.stream) else {
            return Vec::new();
        };
        let (act, nth, what) = (self.act(), self.nth(), self.accident());
        let mut faults = vec![self.accident_at(at, driver.clone(), act, nth, what)];
        if self.stream.percent(60) {
            let later = self.near(at, BLINK, WHILE);
            let kind = match self.stream.below(4) {
                0 => FaultKind::PidReused { target: driver },
                1 => FaultKind::EngineDeath { target: driver },
                2 => FaultKind::Crash {
                    target: Target::SingletonHost,
                },
                _ => FaultKind::Cut {
                    topology: Topology::Isolate(vec![driver]),
                    refuses: false,
                },
            };
            faults.push(self.fault(later, kind, SHORT, LONG));
        }
        faults
    }

    fn launch_and_accident(&mut self, at: At) -> Vec<Fault> {
        let mut faults = Vec::new();
        let hows = [
            LaunchFault::Late,
            LaunchFault::Doubled,
            LaunchFault::Unreported,
            LaunchFault::Orphaned,
        ];
        for target in self.cast.servers.clone() {
            if self.stream.percent(70) {
                let how = self
                    .stream
                    .pick(&hows)
                    .copied()
                    .unwrap_or(LaunchFault::Late);
                let kind = FaultKind::Launches {
                    target: target.clone(),
                    how,
                };
                faults.push(self.fault(at, kind, WHILE, LONG));
            }
            if self.stream.percent(40) {
                let what = self.accident();
                let nth = self.stream.between_u32(1, 2);
                faults.push(self.accident_at(at, target, Act::Effect, nth, what));
            }
        }
        faults
    }

    /// Accidents at the very first acts, when nobody has founded the cluster yet.
    fn formation_and_accident(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let starts = self.starts.clone();
        for (target, start) in self.cast.servers.clone().into_iter().zip(starts) {
            // Who is not there yet cannot be hit.
            let at = At(start.0.saturating_add(1));
            if at < self.heal && self.stream.percent(60) {
                let act = if self.stream.percent(70) {
                    Act::Commit
                } else {
                    Act::Read
                };
                let (nth, what) = (self.stream.between_u32(1, 3), self.accident());
                faults.push(self.accident_at(at, target, act, nth, what));
            }
        }
        if self.stream.percent(30) {
            let kind = FaultKind::Cut {
                topology: topology::build("halves", &self.cast, &mut self.stream),
                refuses: false,
            };
            faults.push(self.fault(At(0), kind, SHORT, LONG));
        }
        faults
    }

    fn found_again(&mut self, at: At) -> Vec<Fault> {
        let drivers = self.stream.percent(30);
        let all = self.fault(
            at,
            FaultKind::CrashAll { drivers },
            BLINK,
            At::from_secs(12),
        );
        let back = all.until.unwrap_or(all.at);
        let mut faults = vec![all];
        for target in self.cast.servers.clone() {
            if self.stream.percent(40) {
                let later = self.near(back, MOMENT, SHORT);
                let (nth, what) = (self.stream.between_u32(1, 4), self.accident());
                faults.push(self.accident_at(later, target, Act::Commit, nth, what));
            }
        }
        faults
    }

    /// Two processes die one shortly after the other.
    fn two_deaths(&mut self, at: At) -> Vec<Fault> {
        let first = FaultKind::Crash {
            target: self.cast.server(&mut self.stream),
        };
        let second = FaultKind::Crash {
            target: self.cast.anybody(&mut self.stream),
        };
        let later = self.near(at, MOMENT, At::from_secs(25));
        vec![
            self.fault(at, first, WHILE, LONG),
            self.fault(later, second, WHILE, LONG),
        ]
    }

    /// One hears nobody but is heard, or the other way round.
    fn deaf_or_mute(&mut self, at: At) -> Vec<Fault> {
        let mut servers = self.cast.servers.clone();
        self.stream.shuffle(&mut servers);
        let Some(one) = servers.pop().filter(|_| !servers.is_empty()) else {
            return Vec::new();
        };
        let one = if self.stream.percent(30) {
            Target::SingletonHost
        } else {
            one
        };
        servers.extend(self.cast.drivers.iter().cloned());
        let topology = if self.stream.percent(50) {
            Topology::OneWay(vec![one], servers)
        } else {
            Topology::OneWay(servers, vec![one])
        };
        let kind = FaultKind::Cut {
            topology,
            refuses: false,
        };
        vec![self.fault(at, kind, At::from_secs(1), LONG)]
    }
}
