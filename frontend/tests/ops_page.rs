//! The page of supported operators is the registry's. To write it anew: `BROLGA_WRITE_DOCS=1 cargo test -p brolga-frontend`.
#![allow(clippy::unwrap_used)]

#[test]
fn the_page_of_operators_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ops.md");
    let page = brolga_frontend::ops_markdown();
    if std::env::var_os("BROLGA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page, "write it anew with BROLGA_WRITE_DOCS=1");
}

#[test]
fn operators_are_listed_once_per_opset_and_in_order() {
    let all: Vec<_> = brolga_frontend::supported_ops().collect();
    assert!(all.len() > 100);
    for pair in all.windows(2) {
        assert!((pair[0].domain, pair[0].op, pair[0].until) < (pair[1].domain, pair[1].op, pair[1].since), "{pair:?}");
    }
    assert!(all.iter().all(|o| o.since >= 1 && o.since <= o.until && o.until <= brolga_frontend::MAX_OPSET));
}
