//! What a server shows of the cluster (`GET /cluster`).

use super::ServerProcess;
use crate::downing::roster::leader;
use crate::identity::Role;
use crate::membership::Status;
use crate::process::{ClusterView, MemberView};
use crate::time::Time;

impl ServerProcess {
    /// See [`crate::process::Process::view`].
    #[must_use]
    pub fn view(&self, now: Time) -> ClusterView {
        let shared = &self.shared;
        let not_ready = self.not_ready();
        let age = shared.store_success.map(|at| now.since(at).as_millis());
        ClusterView {
            identity: shared.me.clone(),
            cluster: shared
                .followed
                .cluster
                .as_ref()
                .map(|cluster| cluster.value.id.clone()),
            epoch: shared.epoch(),
            holder: shared.holder().cloned(),
            generation: shared.generation(),
            leader: shared
                .roster()
                .and_then(|roster| leader(shared, roster, &self.picture.sight)),
            converged: self.membership.is_converged(),
            ready: not_ready.is_none(),
            takes_calls: shared.listed(),
            not_ready,
            store_age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
            others_have_store: self.others_have_store(),
            members: self.member_views(),
        }
    }

    fn not_ready(&self) -> Option<String> {
        let shared = &self.shared;
        if shared.leaving {
            Some("this server is leaving".to_owned())
        } else if shared.followed.cluster.is_none() {
            Some("no cluster is known yet: the store was not read, or nobody founded it".to_owned())
        } else if !shared.listed() {
            Some("this server is not listed in the cluster's roster yet".to_owned())
        } else if !shared.has_store() && self.others_have_store() {
            Some("this server cannot reach the store, while others can".to_owned())
        } else {
            None
        }
    }

    fn member_views(&self) -> Vec<MemberView> {
        let shared = &self.shared;
        let mut servers: Vec<_> = self
            .membership
            .members()
            .values()
            .map(|member| MemberView {
                identity: member.identity.clone(),
                role: Role::Server,
                status: member.status,
                age: shared
                    .roster()
                    .and_then(|roster| roster.age(&member.identity)),
                reachable: !self.membership.is_unreachable(&member.identity),
                version: member.version.clone(),
                context: None,
            })
            .collect();
        servers.sort_by_key(|member| (member.age.unwrap_or(usize::MAX), member.identity.clone()));
        let drivers =
            self.driver_names
                .iter()
                .filter_map(|(incarnation, (identity, name, owns))| {
                    let linked = self
                        .drivers
                        .get(incarnation)
                        .is_some_and(|contact| contact.linked);
                    linked.then(|| MemberView {
                        identity: identity.clone(),
                        role: Role::Driver,
                        status: if *owns { Status::Up } else { Status::Joining },
                        age: None,
                        reachable: true,
                        version: String::new(),
                        context: Some(name.clone()),
                    })
                });
        servers.extend(drivers);
        servers
    }
}
