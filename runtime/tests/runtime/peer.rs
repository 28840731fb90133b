//! One process of a cluster as the tests see it: a transport and what it told.

use doyen_core::identity::{Address, CallId, ClusterId, Identity, Incarnation, Role};
use doyen_core::input::{Input, LinkEvent};
use doyen_core::output::Credentials;
use doyen_core::records::cluster::{Generation, Secret};
use doyen_core::records::singleton::Epoch;
use doyen_core::wire::{Beat, Message};
use doyen_runtime::transport::{Transport, TransportConfig, TransportEvent};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// No step of a test takes longer than this, busy machine included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A free port of the loopback.
pub(crate) fn free_address() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Address::new("127.0.0.1", listener.local_addr().unwrap().port())
}

pub(crate) fn config(identity: Identity) -> TransportConfig {
    let listens = identity.address.port() != 0;
    TransportConfig {
        listen: listens.then(|| identity.address.clone()),
        cluster_name: "test".into(),
        store_id: Some("store".into()),
        role: if listens { Role::Server } else { Role::Driver },
        identity,
    }
}

pub(crate) fn credentials() -> Option<Credentials> {
    Some(Credentials {
        cluster: ClusterId::new("cluster"),
        secret: Secret("a secret".into()),
    })
}

pub(crate) fn identity(life: u64) -> Identity {
    Identity::new(free_address(), Incarnation(life))
}

pub(crate) fn hint(text: &str) -> Message {
    Message::CallHint {
        call: CallId::new(text),
    }
}

pub(crate) fn beat(from: &Identity) -> Beat {
    Beat {
        from: from.clone(),
        sequence: 0,
        generation: Generation(1),
        epoch: Epoch(1),
        holder: None,
        hears: Arc::default(),
        store_age_ms: 0,
        vacant: false,
    }
}

pub(crate) struct Peer {
    pub(crate) transport: Transport,
    pub(crate) me: Identity,
    pub(crate) events: mpsc::Receiver<TransportEvent>,
}

impl Peer {
    /// A member, with proof.
    pub(crate) async fn member(me: Identity) -> Self {
        let peer = Self::with(config(me)).await;
        peer.transport.credentials(credentials());
        peer
    }

    /// A process that knows no cluster.
    pub(crate) async fn with(config: TransportConfig) -> Self {
        let (sender, events) = mpsc::channel(4_096);
        let me = config.identity.clone();
        Self {
            transport: Transport::bind(config, sender).await.unwrap(),
            me,
            events,
        }
    }

    pub(crate) fn dial(&mut self, others: &[&Identity]) {
        let addresses = others.iter().map(|other| other.address.clone());
        self.transport.dial(addresses.collect());
    }

    /// The next thing that the transport tells.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Input> + '_ {
        let at = std::panic::Location::caller();
        async move {
            let next = tokio::time::timeout(DEADLINE, self.events.recv()).await;
            next.unwrap_or_else(|_| panic!("{at}: nothing was told"))
                .unwrap()
                .input
        }
    }

    /// The next event of a link.
    pub(crate) async fn link(&mut self) -> LinkEvent {
        loop {
            if let Input::Link(event) = self.next().await {
                return event;
            }
        }
    }

    /// Goes on until this is told; gives everything before it.
    pub(crate) async fn until(&mut self, wanted: &Input) -> Vec<Input> {
        let mut before = Vec::new();
        loop {
            let next = self.next().await;
            if next == *wanted {
                return before;
            }
            before.push(next);
        }
    }

    pub(crate) async fn until_link(&mut self, wanted: LinkEvent) -> Vec<Input> {
        self.until(&Input::Link(wanted)).await
    }

    /// The next beat.
    pub(crate) async fn beat(&mut self) -> Beat {
        loop {
            if let Input::Beat(beat) = self.next().await {
                return beat;
            }
        }
    }
}

pub(crate) fn up(peer: &Identity) -> LinkEvent {
    LinkEvent::Up { peer: peer.clone() }
}

pub(crate) fn down(peer: &Identity) -> LinkEvent {
    LinkEvent::Down { peer: peer.clone() }
}

pub(crate) fn refused(peer: &Identity) -> LinkEvent {
    LinkEvent::Refused {
        address: peer.address.clone(),
    }
}

pub(crate) fn silent(peer: &Identity) -> LinkEvent {
    LinkEvent::Silent {
        address: peer.address.clone(),
    }
}

pub(crate) fn message(from: &Identity, text: &str) -> Input {
    Input::Message {
        from: from.clone(),
        message: hint(text),
    }
}
