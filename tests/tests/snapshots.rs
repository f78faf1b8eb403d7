//! What the passes make of two whole models.
#![allow(clippy::unwrap_used)]

use brolga::{Model, Options};
use brolga_tests::zoo;

fn text(name: &str) -> String {
    Model::from_bytes(zoo::case(name).unwrap().model().unwrap(), Options::default()).unwrap().ir_text()
}

#[test]
fn resnet50_optimised() {
    insta::assert_snapshot!(text("resnet50"));
}

#[test]
fn mobilenet_v2_optimised() {
    insta::assert_snapshot!(text("mobilenet_v2"));
}
