//! The proof of membership: an HMAC under the cluster's secret over both hellos.

use doyen_core::records::cluster::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Who proves; part of what is proved, so that a proof cannot be reflected to its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prover {
    /// Who dialled.
    Dialler,
    /// Who accepted.
    Acceptor,
}

fn mac(secret: &Secret, prover: Prover, dialler: &[u8], acceptor: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes())
        .expect("HMAC-SHA256 takes keys of any length");
    mac.update(b"doyen-handshake");
    mac.update(match prover {
        Prover::Dialler => b"dialler",
        Prover::Acceptor => b"acceptr",
    });
    // Lengths keep the two apart. Hellos hold nonce, identity and everything else that was said,
    // so nothing of it can be changed on the way.
    for hello in [dialler, acceptor] {
        mac.update(&u64::try_from(hello.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(hello);
    }
    mac
}

/// The proof of `prover`, given the two hellos as they were sent.
pub(crate) fn prove(secret: &Secret, prover: Prover, dialler: &[u8], acceptor: &[u8]) -> Vec<u8> {
    mac(secret, prover, dialler, acceptor)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// Whether this is the proof of `prover`; compared in constant time.
pub(crate) fn verify(
    secret: &Secret,
    prover: Prover,
    dialler: &[u8],
    acceptor: &[u8],
    proof: &[u8],
) -> bool {
    mac(secret, prover, dialler, acceptor)
        .verify_slice(proof)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_secret_its_maker_and_its_hellos_only() {
        let secret = Secret("s".into());
        let proof = prove(&secret, Prover::Dialler, b"one", b"two");
        assert_eq!(proof.len(), 32);
        assert!(verify(&secret, Prover::Dialler, b"one", b"two", &proof));
        let other = Secret("t".into());
        assert!(!verify(&other, Prover::Dialler, b"one", b"two", &proof));
        assert!(!verify(&secret, Prover::Acceptor, b"one", b"two", &proof));
        assert!(!verify(&secret, Prover::Dialler, b"onet", b"wo", &proof));
        assert!(!verify(
            &secret,
            Prover::Dialler,
            b"one",
            b"two",
            &proof[..31]
        ));
        assert!(!verify(&secret, Prover::Dialler, b"one", b"two", b""));
    }
}
