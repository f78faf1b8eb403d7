//! What loading does to the process: memory comes back, and no page is writable and executable at once.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use brolga::{Model, Options, Tensor};
use brolga_tests::zoo;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn lines_of_maps(wanted: impl Fn(&str) -> bool) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(&wanted)).count()
}

// One test, because others of the same process would disturb the counts.
#[test]
fn loading_and_dropping_leaves_nothing_behind() {
    let case = zoo::case("lenet5").unwrap();
    let bytes = case.model().unwrap();
    let input = case.inputs().remove(0);
    let cycle = || {
        let model = Model::from_bytes(&bytes[..], Options { threads: Some(2), ..Options::default() }).unwrap();
        let output = model.run_tensors(&[Tensor::from_slice(&input.shape, &input.data).unwrap()]).unwrap();
        assert_eq!(output[0].shape(), [1, 10]);
        model
    };
    (0..50).for_each(|_| drop(cycle()));
    let (resident, executable) = (resident_bytes(), lines_of_maps(|access| access.contains('x')));
    for _ in 0..1000 {
        drop(cycle());
    }
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 4 << 20, "1,000 loads left {grown} bytes");
    assert!(lines_of_maps(|access| access.contains('x')) <= executable);
    let loaded = cycle();
    assert!(lines_of_maps(|access| access.contains('x')) > executable);
    assert_eq!(lines_of_maps(|access| access.contains('w') && access.contains('x')), 0);
    drop(loaded);
}
