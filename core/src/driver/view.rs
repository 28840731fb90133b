//! What a driver knows of the cluster: itself, and the servers that it is connected with.

use super::{DriverProcess, Phase};
use crate::identity::Role;
use crate::membership::Status;
use crate::process::{ClusterView, MemberView};
use crate::records::singleton::Epoch;
use crate::time::Time;

impl DriverProcess {
    /// See [`crate::process::Process::view`].
    #[must_use]
    pub fn view(&self, now: Time) -> ClusterView {
        let desk = &self.desk;
        let not_ready = self.not_ready();
        let since = |at: Time| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        ClusterView {
            identity: desk.launch.identity.clone(),
            cluster: Some(desk.launch.cluster.clone()),
            epoch: Epoch::default(),
            holder: None,
            generation: self.contact.roster().generation,
            leader: None,
            converged: false,
            ready: not_ready.is_none(),
            takes_calls: false,
            not_ready,
            store_age_ms: desk.store.last_success().map(since),
            others_have_store: false,
            members: self.members(),
        }
    }

    fn members(&self) -> Vec<MemberView> {
        let roster = self.contact.roster();
        let mut members: Vec<MemberView> = self
            .contact
            .links()
            .iter()
            .map(|server| MemberView {
                identity: server.clone(),
                role: Role::Server,
                status: if roster.lists(server) {
                    Status::Up
                } else {
                    Status::Joining
                },
                age: roster.age(server),
                reachable: true,
                version: String::new(),
                context: None,
            })
            .collect();
        members.sort_by_key(|member| (member.age.unwrap_or(usize::MAX), member.identity.clone()));
        let name = self.desk.context_name();
        let id = self.desk.launch.context.as_str();
        members.push(MemberView {
            identity: self.desk.launch.identity.clone(),
            role: Role::Driver,
            status: match self.phase {
                Phase::Owning(_) => Status::Up,
                Phase::Taking(_) => Status::Joining,
                Phase::Fenced { .. } | Phase::Stopped => Status::Exiting,
            },
            age: None,
            reachable: true,
            version: self.desk.config.get().version.clone(),
            context: Some(if name.is_empty() { id } else { name }.to_owned()),
        });
        members
    }

    fn not_ready(&self) -> Option<String> {
        let id = &self.desk.launch.context;
        match &self.phase {
            Phase::Taking(_) => Some(format!("context {id} is not taken yet")),
            Phase::Owning(attempt) if attempt.engine.is_ready() => None,
            Phase::Owning(_) => Some(format!("the engine of context {id} is not ready")),
            Phase::Fenced { what, .. } => Some(what.clone()),
            Phase::Stopped => Some(format!("the driver of context {id} has stopped")),
        }
    }
}
