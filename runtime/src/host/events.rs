//! Events of the cluster, as log lines with fields.

use doyen_core::output::ClusterEvent;

fn list<T: ToString>(things: &[T]) -> String {
    let texts: Vec<String> = things.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// Writes an event to the log.
pub(super) fn log(event: &ClusterEvent) {
    use tracing::{info, warn};
    let name = event.name();
    match event {
        ClusterEvent::Founded { cluster } => {
            info!(event = name, %cluster, "cluster founded");
        }
        ClusterEvent::Refounded { generation } => {
            info!(event = name, %generation, "cluster founded again");
        }
        ClusterEvent::Listed { generation } => {
            info!(event = name, %generation, "this server is listed");
        }
        ClusterEvent::RosterChanged { generation, listed } => {
            info!(event = name, %generation, listed = list(listed), "roster changed");
        }
        ClusterEvent::SingletonMoved { epoch, holder } => {
            info!(event = name, %epoch, member = %holder, "singleton moved");
        }
        ClusterEvent::OfficeTaken { epoch, by } => {
            info!(event = name, %epoch, by = by.name(), "this server took the singleton");
        }
        ClusterEvent::OfficeReady { epoch } => {
            info!(event = name, %epoch, "singleton serves");
        }
        ClusterEvent::SteppedDown { epoch } => {
            warn!(event = name, %epoch, "this server lost the singleton");
        }
        ClusterEvent::Unreachable { member } => {
            warn!(event = name, %member, "member is not heard");
        }
        ClusterEvent::Reachable { member } => {
            info!(event = name, %member, "member is heard again");
        }
        ClusterEvent::Challenged { member } => {
            warn!(event = name, %member, "the holder is silent: challenged");
        }
        ClusterEvent::ProofOfDeath { member, how } => {
            warn!(event = name, %member, how, "member is dead");
        }
        ClusterEvent::Warning { text } => {
            warn!(event = name, "{text}");
        }
        ClusterEvent::StoreReachable { reachable: true } => {
            info!(event = name, "the store answers");
        }
        ClusterEvent::StoreReachable { reachable: false } => {
            warn!(event = name, "the store does not answer");
        }
        ClusterEvent::AttemptEnded {
            context,
            driver,
            orderly,
            why,
        } => {
            let driver = driver.map(|d| d.to_string()).unwrap_or_default();
            if *orderly {
                info!(event = name, %context, driver, why, "attempt ended");
            } else {
                warn!(event = name, %context, driver, why, "attempt ended");
            }
        }
    }
}
