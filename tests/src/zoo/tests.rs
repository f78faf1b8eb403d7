//! The filling rule against values computed by its Python twin, and the comparison rule on made-up outputs.

use super::*;

#[test]
fn fill_gives_the_bits_of_the_python_rule() {
    let rows: [(&str, &[usize], f64, [u32; 4]); 3] = [
        ("lenet5/in/input", &[1, 1, 28, 28], 1.0, [0xbf8d_b237, 0x3fb8_645b, 0x3e2d_8e4f, 0xbf90_9fd3]),
        ("conv1.weight", &[3, 5], 0.02, [0x3b4c_a956, 0xbcf1_5145, 0x3d02_8b36, 0xbca7_ab36]),
        ("", &[4], 2.5, [0x4012_2783, 0x4083_e160, 0xbf88_5fd1, 0xc010_8419]),
    ];
    for (key, shape, std, want) in rows {
        let got = fill(key, shape, std);
        assert_eq!(got.len(), shape.iter().product::<usize>());
        let picked = [got[0], got[1], got[2], got[got.len() - 1]].map(f32::to_bits);
        assert_eq!(picked, want, "{key}");
    }
    assert!(fill("k", &[3, 0], 1.0).is_empty());
}

#[test]
fn every_case_is_complete() {
    let cases = cases().unwrap();
    assert_eq!(cases.len(), 18);
    for case in &cases {
        assert!(case.path.is_file(), "{}", case.name);
        assert!(!case.inputs.is_empty() && !case.outputs.is_empty(), "{}", case.name);
        for output in &case.outputs {
            let elements: usize = output.shape.iter().product();
            assert_eq!(output.values.len(), elements.div_ceil(output.step), "{}", case.name);
        }
    }
}

#[test]
fn hydration_fills_exactly_the_marked_tensors() {
    let case = case("lenet5").unwrap();
    let thin = std::fs::read(&case.path).unwrap();
    let full = case.model().unwrap();
    // Each of the two marked tensors gains its data and loses its rule.
    let weight = fill("lenet5/f1.weight", &[120, 400], 0.05);
    let bytes: Vec<u8> = weight.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(full.windows(64).any(|window| window == &bytes[..64]));
    assert!(!full.windows(5).any(|window| window == b"fill "));
    let filled = 4 * (16 * 6 * 5 * 5 + 120 * 400 + 84 * 120);
    assert!(full.len() > thin.len() + filled - 300 && full.len() < thin.len() + filled, "{}", full.len());
    // An ordinary model stays as it is.
    assert_eq!(hydrate(&full).unwrap(), full);
}

#[test]
fn hydration_refuses_what_is_no_model() {
    let thin = std::fs::read(case("lenet5").unwrap().path).unwrap();
    assert!(matches!(hydrate(&thin[..thin.len() / 2]), Err(ZooError::Wire)));
    let bad = replace(&thin, b"0.0912871", b"0.09x2871");
    assert!(matches!(hydrate(&bad), Err(ZooError::Rule { name, .. }) if name == "f2.weight"));
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut changed = bytes.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

fn expected() -> Expected {
    Expected {
        name: "y".into(),
        shape: vec![2, 3],
        step: 2,
        values: vec![1.0, 2.0, -4.0],
        scales: vec![4.0],
        tolerance: 1e-4,
    }
}

#[test]
fn outputs_within_tolerance_pass() {
    let error = expected().check(&[2, 3], &[1.0, 9.0, 2.0002, 9.0, -4.0, 9.0]).unwrap();
    assert!((error - 5e-5).abs() < 1e-7, "{error}");
}

#[test]
fn the_worst_element_is_named() {
    let got = expected().check(&[2, 3], &[1.001, 0.0, 2.1, 0.0, -4.0, 0.0]).unwrap_err();
    assert!(matches!(got, Mismatch::Value { index: 2, .. }), "{got}");
    let got = expected().check(&[2, 3], &[f32::NAN, 0.0, 2.1, 0.0, -4.0, 0.0]).unwrap_err();
    assert!(matches!(got, Mismatch::Value { index: 0, .. }), "{got}");
}

#[test]
fn another_shape_fails() {
    let got = expected().check(&[3, 2], &[1.0, 9.0, 2.0, 9.0, -4.0, 9.0]).unwrap_err();
    assert!(matches!(got, Mismatch::Shape { .. }), "{got}");
}

#[test]
fn each_column_has_its_scale() {
    // Of a [2, 3] output every second element: columns 0, 2 and 1.
    let columns = Expected { scales: vec![1.0, 1.0, 1000.0], ..expected() };
    assert!(columns.check(&[2, 3], &[1.0, 0.0, 2.05, 0.0, -4.0, 0.0]).is_ok());
    assert!(columns.check(&[2, 3], &[1.0, 0.0, 2.0, 0.0, -4.05, 0.0]).is_err());
}
