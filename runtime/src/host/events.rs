//! Events of the cluster, as log lines with fields.

use doyen_core::output::ClusterEvent;

fn list<T: ToString>(things: &[T]) -> String {
    let texts: Vec<String> = things.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// Writes an event to the log.
pub(super) fn log(event: &ClusterEvent) {
    use tracing::{info, warn};
    match event {
        ClusterEvent::Founded { cluster } => info!(%cluster, "cluster founded"),
        ClusterEvent::Refounded { generation } => info!(%generation, "cluster founded again"),
        ClusterEvent::Listed { generation } => info!(%generation, "this server is listed"),
        ClusterEvent::RosterChanged { generation, listed } => {
            info!(%generation, listed = list(listed), "roster changed");
        }
        ClusterEvent::SingletonMoved { epoch, holder } => {
            info!(%epoch, member = %holder, "singleton moved");
        }
        ClusterEvent::OfficeTaken { epoch, by } => {
            info!(%epoch, by = by.name(), "this server took the singleton");
        }
        ClusterEvent::OfficeReady { epoch } => info!(%epoch, "singleton serves"),
        ClusterEvent::SteppedDown { epoch } => warn!(%epoch, "this server lost the singleton"),
        ClusterEvent::Unreachable { member } => warn!(%member, "member is not heard"),
        ClusterEvent::Reachable { member } => info!(%member, "member is heard again"),
        ClusterEvent::ProofOfDeath { member, how } => warn!(%member, how, "member is dead"),
        ClusterEvent::Warning { text } => warn!("{text}"),
        ClusterEvent::StoreReachable { reachable: true } => info!("the store answers"),
        ClusterEvent::StoreReachable { reachable: false } => warn!("the store does not answer"),
        ClusterEvent::AttemptEnded {
            context,
            driver,
            why,
        } => {
            let driver = driver.map(|d| d.to_string()).unwrap_or_default();
            warn!(%context, driver, why, "attempt ended");
        }
    }
}
