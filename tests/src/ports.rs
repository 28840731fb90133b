//! Free ports on loopback.

use crate::Outcome;
use std::net::{Ipv4Addr, TcpListener};

/// `count` different ports of 127.0.0.1 on which nothing listens now.
///
/// All are held until all are known, so that none is given twice; another program may still take
/// one before its use, which the server then reports as a port in use.
///
/// # Errors
/// The system has no port left.
pub fn free(count: usize) -> Outcome<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Outcome<Vec<_>>>()?;
    held.iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_different_and_can_be_bound() {
        let ports = super::free(8).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 8);
        for port in ports {
            assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
        }
    }
}
