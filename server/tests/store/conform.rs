//! The conformance suite on the embedded store.

use super::support::Data;
use doyen_runtime::store::conformance::check_metadata;
use std::sync::Arc;

#[tokio::test]
async fn the_embedded_store_passes_the_conformance_suite() {
    let data = Data::new();
    check_metadata(|| Arc::new(data.client())).await;
}
