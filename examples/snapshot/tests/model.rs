//! Fails when the model, or what the compiler makes of it, changes; `cargo insta review` shows how.

use brolga::Model;

#[test]
fn optimised_graph() {
    let model = Model::load(snapshot::MODEL).unwrap();
    insta::assert_snapshot!(model.ir_text());
}
