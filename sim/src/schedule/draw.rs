//! Single faults of each kind, drawn at random.

use super::model::{Accident, Act, At, Fault, FaultKind, LaunchFault, Target};
use super::stream::Stream;
use super::swarm::Swarm;
use super::topology::{self, Cast};

const PPM: [i32; 6] = [-100_000, -1_000, -200, 200, 1_000, 100_000];
const SHORTEST: At = At::from_millis(100);
const LONGEST: At = At::from_secs(120);

/// What faults are drawn from.
pub(super) struct Draw<'a> {
    pub(super) cast: Cast,
    /// When each server of the cast is started first.
    pub(super) starts: Vec<At>,
    pub(super) swarm: &'a Swarm,
    pub(super) heal: At,
    pub(super) stream: Stream,
}

impl Draw<'_> {
    /// An end for a fault that begins then: `None` for the heal.
    pub(super) fn until(&mut self, at: At) -> Option<At> {
        let span = self.stream.span(SHORTEST, LONGEST);
        self.end(at, span)
    }

    /// The end of a fault of this length; `None` for the heal.
    pub(super) fn end(&self, at: At, span: At) -> Option<At> {
        let until = At(at.0.saturating_add(span.0));
        (until < self.heal).then_some(until)
    }

    /// A time a little before or after another, not before `least` nor after the heal.
    pub(super) fn near(&mut self, at: At, least: At, most: At) -> At {
        let offset = self.stream.span(least, most);
        let last = At(self.heal.0.saturating_sub(1_000));
        At(at.0.saturating_add(offset.0)).min(last)
    }

    pub(super) fn act(&mut self) -> Act {
        let acts = [
            (Act::Commit, 12),
            (Act::Effect, 4),
            (Act::Read, 3),
            (Act::Send, 3),
        ];
        self.stream.weighted(&acts).unwrap_or(Act::Commit)
    }

    pub(super) fn accident(&mut self) -> Accident {
        let all = [
            Accident::KillBefore,
            Accident::KillAfter,
            Accident::PauseBefore,
            Accident::PauseAfter,
            Accident::LoseAnswer,
            Accident::ActLate,
        ];
        self.stream
            .pick(&all)
            .copied()
            .unwrap_or(Accident::KillAfter)
    }

    /// A small number mostly.
    pub(super) fn nth(&mut self) -> u32 {
        let most = if self.stream.percent(70) { 3 } else { 40 };
        self.stream.between_u32(1, most)
    }

    /// A fault of this kind; `None` when nobody is there whom it could hit.
    pub(super) fn one(&mut self, name: &str, at: At) -> Option<Fault> {
        let until = self.until(at);
        let kind = self.kind(name)?;
        let is_moment = matches!(
            kind,
            FaultKind::Replay { .. }
                | FaultKind::Start { .. }
                | FaultKind::ClockStep { .. }
                | FaultKind::StampStep { .. }
                | FaultKind::SessionLost { .. }
                | FaultKind::EngineDeath { .. }
                | FaultKind::PidReused { .. }
        );
        Some(Fault {
            until: until.filter(|_| !is_moment),
            ..Fault::new(at, kind)
        })
    }

    fn kind(&mut self, name: &str) -> Option<FaultKind> {
        match name {
            "cut" | "flap" | "swizzle" | "link" | "replay" => self.network(name),
            "engine-death" | "ignores-term" | "pid-reused" => {
                let target = self.cast.driver(&mut self.stream)?;
                Some(match name {
                    "engine-death" => FaultKind::EngineDeath { target },
                    "ignores-term" => FaultKind::IgnoresTerm { target },
                    _ => FaultKind::PidReused { target },
                })
            }
            "launches" => Some(self.launches()),
            "clock-drift" | "clock-step" | "clock-freeze" | "stamp-step" => Some(self.clock(name)),
            "store-slow" | "store-away" | "session-lost" | "answers-lost" | "events-merged" => {
                Some(self.store(name))
            }
            _ => Some(self.process(name)),
        }
    }

    fn network(&mut self, name: &str) -> Option<FaultKind> {
        let stream = &mut self.stream;
        Some(match name {
            "cut" => {
                let name = stream.weighted(&self.swarm.topologies)?;
                FaultKind::Cut {
                    topology: topology::build(name, &self.cast, stream),
                    refuses: stream.percent(15),
                }
            }
            "flap" => {
                let name = stream.weighted(&self.swarm.topologies)?;
                let period = stream.span(At::from_millis(200), At::from_secs(15));
                let share = stream.between(10, 90);
                let cut = At((period.0 / 100_000)
                    .saturating_mul(share)
                    .saturating_mul(1_000));
                FaultKind::Flap {
                    topology: topology::build(name, &self.cast, stream),
                    period,
                    cut: cut.max(At::from_millis(1)),
                }
            }
            "swizzle" => {
                let mut targets = self.cast.servers.clone();
                targets.extend(self.cast.drivers.iter().cloned());
                stream.shuffle(&mut targets);
                let count = stream.index(targets.len()).saturating_add(1);
                targets.truncate(count);
                let step = stream.span(SHORTEST, At::from_secs(3));
                FaultKind::Swizzle { targets, step }
            }
            "link" => {
                let permille = |stream: &mut Stream, likely: u64, most: u32| {
                    if stream.percent(likely) {
                        stream.between_u32(1, most)
                    } else {
                        0
                    }
                };
                FaultKind::Link {
                    from: self.cast.some(stream),
                    to: self.cast.some(stream),
                    latency: slow(stream),
                    jitter: slow(stream),
                    loss: permille(stream, 60, 900),
                    burst: permille(stream, 40, 30),
                    duplicate: permille(stream, 40, 500),
                    reorder: permille(stream, 40, 500),
                }
            }
            _ => FaultKind::Replay {
                from: self.cast.anybody(stream),
                to: self.cast.anybody(stream),
            },
        })
    }

    fn process(&mut self, name: &str) -> FaultKind {
        let stream = &mut self.stream;
        let target = self.cast.anybody(stream);
        match name {
            "pause" => FaultKind::Pause { target },
            "crash-loop" => FaultKind::CrashLoop {
                target: self.cast.server(stream),
                every: stream.span(SHORTEST, At::from_secs(8)),
            },
            "crash-all" => FaultKind::CrashAll {
                drivers: stream.percent(50),
            },
            "leave" => FaultKind::Leave {
                target: self.cast.server(stream),
            },
            "start" => FaultKind::Start {
                target: stream
                    .pick(&self.cast.servers)
                    .cloned()
                    .unwrap_or(Target::FirstSeed),
            },
            "at-act" => FaultKind::AtAct {
                target,
                act: self.act(),
                nth: self.nth(),
                what: self.accident(),
            },
            _ => FaultKind::Crash { target },
        }
    }

    fn clock(&mut self, name: &str) -> FaultKind {
        let stream = &mut self.stream;
        let target = self.cast.anybody(stream);
        match name {
            "clock-drift" => FaultKind::ClockDrift {
                target,
                ppm: stream.pick(&PPM).copied().unwrap_or(1_000),
            },
            "clock-step" => FaultKind::ClockStep {
                target,
                by: stream.span(SHORTEST, LONGEST),
                suspended: stream.percent(50),
            },
            "clock-freeze" => FaultKind::ClockFreeze { target },
            _ => {
                let by = stream.span(SHORTEST, At::from_secs(7_200)).0 / 1_000;
                let millis = i64::try_from(by).unwrap_or_default();
                FaultKind::StampStep {
                    millis: if stream.percent(50) { millis } else { -millis },
                }
            }
        }
    }

    fn store(&mut self, name: &str) -> FaultKind {
        let stream = &mut self.stream;
        let targets = self.cast.some(stream);
        let permille = stream.between_u32(20, 900);
        match name {
            "store-slow" => FaultKind::StoreSlow {
                targets,
                latency: stream.span(At::from_millis(5), At::from_secs(3)),
            },
            "store-away" => FaultKind::StoreAway {
                targets,
                refuses: stream.percent(30),
            },
            "session-lost" => FaultKind::SessionLost { targets },
            "answers-lost" => FaultKind::AnswersLost { targets, permille },
            _ => FaultKind::EventsMerged { targets, permille },
        }
    }

    fn launches(&mut self) -> FaultKind {
        let all = [
            LaunchFault::Late,
            LaunchFault::Doubled,
            LaunchFault::Unreported,
            LaunchFault::Failing,
            LaunchFault::Orphaned,
        ];
        FaultKind::Launches {
            target: self.cast.server(&mut self.stream),
            how: self.stream.pick(&all).copied().unwrap_or(LaunchFault::Late),
        }
    }
}

fn slow(stream: &mut Stream) -> At {
    if stream.percent(50) {
        stream.span(At::from_millis(1), At::from_secs(2))
    } else {
        At(0)
    }
}
