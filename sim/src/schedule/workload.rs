//! What clients ask in a drawn run: contexts come and go, jobs short and long, kills, reads, keys
//! repeated at other servers, names taken twice, pauses.

use super::model::{Ask, At, Request, Target};
use super::stream::Stream;
use super::topology::Cast;

/// The first ask: a cluster stands then, when nothing goes wrong.
const FIRST: At = At::from_millis(1_500);
/// After the heal clients go on asking for so long.
const AFTER_HEAL: At = At::from_secs(4);

struct Client<'a> {
    cast: &'a Cast,
    heal: At,
    stream: Stream,
    asks: Vec<Ask>,
    jobs: u32,
    keys: u32,
}

/// Draws the asks of a run, in order of time.
pub(super) fn draw(
    cast: &Cast,
    contexts: &[String],
    asks: u64,
    heal: At,
    stream: Stream,
) -> Vec<Ask> {
    let mut client = Client {
        cast,
        heal,
        stream,
        asks: Vec::new(),
        jobs: 0,
        keys: 0,
    };
    for context in contexts {
        let at = client.stream.time(FIRST, At::from_secs(6));
        client.create(at, context);
    }
    for _ in 0..asks {
        let at = client.moment();
        if let Some(context) = client.stream.pick(contexts).cloned() {
            client.one(at, &context);
        } else {
            // Without contexts: what is not there is deleted, read and used.
            let what = Request::DeleteContext {
                context: "c1".to_owned(),
            };
            client.ask(at, what);
        }
    }
    let mut asks = client.asks;
    asks.sort_by_key(|ask| ask.at);
    asks
}

impl Client<'_> {
    /// Mostly among the faults; at times after the heal.
    fn moment(&mut self) -> At {
        let last = At(self.heal.0.saturating_add(AFTER_HEAL.0));
        if self.stream.percent(12) {
            return self.stream.time(self.heal, last);
        }
        self.stream.time(At::from_secs(3), last)
    }

    fn server(&mut self) -> Target {
        if self.stream.percent(80) {
            let named = self.stream.pick(&self.cast.servers).cloned();
            return named.unwrap_or(Target::FirstSeed);
        }
        self.cast.server(&mut self.stream)
    }

    fn ask(&mut self, at: At, what: Request) {
        let of = self.server();
        // Only what creates a record has a key (C5).
        let keyed = matches!(
            what,
            Request::CreateContext { .. } | Request::DeleteContext { .. } | Request::Submit { .. }
        );
        let key = if keyed && self.stream.percent(40) {
            self.keys = self.keys.saturating_add(1);
            Some(format!("k{}", self.keys))
        } else {
            None
        };
        let ask = Ask {
            key,
            ..Ask::new(at, of, what)
        };
        // A client that got no answer asks again elsewhere, with the same key.
        if ask.key.is_some() && self.stream.percent(50) {
            let again = self.stream.span(At::from_millis(5), At::from_secs(20));
            let again = Ask {
                at: At(at.0.saturating_add(again.0)),
                of: self.server(),
                ..ask.clone()
            };
            self.asks.push(again);
        }
        self.asks.push(ask);
    }

    fn create(&mut self, at: At, context: &str) {
        let what = Request::CreateContext {
            context: context.to_owned(),
        };
        // A name can be had once.
        if self.stream.percent(15) {
            let later = self.stream.span(At::from_millis(1), At::from_secs(2));
            self.ask(At(at.0.saturating_add(later.0)), what.clone());
        }
        self.ask(at, what);
    }

    fn one(&mut self, at: At, context: &str) {
        let name = context.to_owned();
        match self.stream.below(100) {
            0..=7 => self.create(at, context),
            8..=19 => {
                self.ask(at, Request::DeleteContext { context: name });
                if self.stream.percent(50) {
                    let later = self.stream.span(At::from_millis(10), At::from_secs(10));
                    self.create(At(at.0.saturating_add(later.0)), context);
                }
            }
            20..=29 => self.ask(at, Request::ReadContext { context: name }),
            _ => self.submit(at, name),
        }
    }

    fn submit(&mut self, at: At, context: String) {
        self.jobs = self.jobs.saturating_add(1);
        let job = format!("j{}", self.jobs);
        let longest = if self.stream.percent(75) {
            At::from_secs(1)
        } else {
            At::from_secs(30)
        };
        let what = Request::Submit {
            context,
            job: job.clone(),
            lasts: self.stream.span(At::from_millis(1), longest),
            sync: self.stream.percent(30),
            fails: self.stream.percent(15),
        };
        self.ask(at, what);
        let later = self.stream.span(At::from_millis(5), At::from_secs(8));
        let later = At(at.0.saturating_add(later.0));
        match self.stream.below(100) {
            0..=14 => self.ask(later, Request::Kill { job }),
            15..=49 => {
                let of = self.server();
                self.asks
                    .push(Ask::new(later, of, Request::ReadJob { job }));
            }
            _ => {}
        }
    }
}
