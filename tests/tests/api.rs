//! The interface of a loaded model: concurrent runs, repeats, and what is said about inputs that do not fit.
#![allow(clippy::unwrap_used)]

use brolga::{ErrorKind, Model, Options, Tensor};
use brolga_tests::zoo;

fn lenet() -> (Model, Tensor) {
    let case = zoo::case("lenet5").unwrap();
    let input = case.inputs().remove(0);
    let model = Model::from_bytes(case.model().unwrap(), Options { threads: Some(2), ..Options::default() }).unwrap();
    (model, Tensor::from_slice(&input.shape, &input.data).unwrap())
}

#[test]
fn runs_from_many_threads_give_the_same_bits() {
    let (model, input) = lenet();
    let want = model.run([("input", input.clone())]).unwrap();
    std::thread::scope(|scope| {
        let run = || (0..50).all(|_| model.run([("input", input.clone())]).unwrap()[0].bytes() == want[0].bytes());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).filter(|same| *same).count(), 4);
    });
}

#[test]
fn inputs_that_do_not_fit_are_refused_in_words() {
    let (model, input) = lenet();
    let shaped = |shape: &[usize]| Tensor::from_slice(shape, &vec![0f32; shape.iter().product()]).unwrap();
    let integers = Tensor::from_slice(&[1, 1, 28, 28], &[0i64; 784]).unwrap();
    let rows: [(&str, Tensor, &[&str]); 4] = [
        ("picture", input, &["`picture`", "`input`"]),
        ("input", integers, &["input", "i64", "f32"]),
        ("input", shaped(&[1, 28, 28]), &["input", "[1, 1, 28, 28]", "[1, 28, 28]"]),
        ("input", shaped(&[1, 1, 28, 27]), &["input", "[1, 1, 28, 28]", "[1, 1, 28, 27]"]),
    ];
    for (name, tensor, words) in rows {
        let error = model.run([(name, tensor)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}: expected {words:?}");
    }
    let error = model.run::<Tensor>([]).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("`input`"), "{error}");
    let error = model.run_tensors(&[]).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("0 were given"), "{error}");
}
