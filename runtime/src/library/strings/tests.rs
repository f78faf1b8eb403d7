//! Texts: cases from the specification's words, worked out by hand.

use super::super::function::Attribute::*;
use super::*;

fn texts(shape: &[usize], x: &[&str]) -> Value {
    strings(shape, x.iter().map(|s| (*s).to_owned()).collect()).unwrap().into()
}
fn run(f: Function, x: &[&Value]) -> Result<Vec<Value>, LibraryError> {
    f.run(&x.iter().map(|v| v.operand()).collect::<Vec<_>>())
}
fn seen(value: &Value) -> (Vec<usize>, Vec<&str>) {
    match value {
        Value::Strings(s) => (s.shape().to_vec(), s.elements().iter().map(String::as_str).collect()),
        other => panic!("{other:?}"),
    }
}
fn ints(value: &Value) -> Vec<i64> {
    value.as_tensor().unwrap().as_slice::<i64>().unwrap().to_vec()
}

#[test]
fn ranks_and_back() {
    let (a, b) = (texts(&[3], &["b", "a", "b"]), texts(&[2, 1], &["c", "a"]));
    let found = run(Function::new("string_ranks", 2), &[&a, &b]).unwrap();
    assert_eq!(seen(&found[0]), (vec![3], vec!["a", "b", "c"]));
    assert_eq!((ints(&found[1]), ints(&found[2])), (vec![1, 0, 1], vec![2, 0]));
    assert_eq!(found[2].shape(), Some(&[2, 1][..]));
    let back = run(Function::new("string_take", 2), &[&found[0], &found[1]]).unwrap();
    assert_eq!(seen(&back[0]), seen(&a));
    let outside: Value = Tensor::from_slice(&[1], &[3i64]).unwrap().into();
    let refused = run(Function::new("string_take", 2), &[&found[0], &outside]);
    assert_eq!(refused.unwrap_err(), LibraryError::Index { index: 3, extent: 3 });
}

#[test]
fn constants() {
    let f = Function::new("string_constant", 0);
    let made = run(f.clone().with("shape", Ints(vec![1, 2])).with("texts", Texts(vec!["x".into(), "".into()])), &[]);
    assert_eq!(seen(&made.unwrap()[0]), (vec![1, 2], vec!["x", ""]));
    assert!(run(f.clone().with("shape", Ints(vec![3])), &[]).is_err());
    assert!(run(f.with("shape", Ints(vec![-1])), &[]).is_err());
}

#[test]
fn concatenation_broadcasts() {
    let f = || Function::new("string_concat", 2);
    let (a, b) = (texts(&[2, 1], &["a", "b"]), texts(&[3], &["1", "2", "é"]));
    let joined = run(f(), &[&a, &b]).unwrap();
    assert_eq!(seen(&joined[0]), (vec![2, 3], vec!["a1", "a2", "aé", "b1", "b2", "bé"]));
    assert_eq!(seen(&run(f(), &[&texts(&[], &["x"]), &texts(&[], &["y"])]).unwrap()[0]), (vec![], vec!["xy"]));
    assert!(run(f(), &[&texts(&[2], &["x", "y"]), &b]).is_err());
}

#[test]
fn splitting() {
    let f = |delimiter: Option<&str>, most: Option<i64>| {
        let mut f = Function::new("string_split", 1);
        if let Some(d) = delimiter {
            f = f.with("delimiter", Text(d.into()));
        }
        most.map_or(f.clone(), |n| f.with("maxsplit", Int(n)))
    };
    let go = |f: Function, x: &[&str]| run(f, &[&texts(&[x.len()], x)]).unwrap();
    let found = go(f(Some("."), None), &["a.com", "a.b.c", ""]);
    assert_eq!(seen(&found[0]), (vec![3, 3], vec!["a", "com", "", "a", "b", "c", "", "", ""]));
    assert_eq!(ints(&found[1]), [2, 3, 1]);
    let found = go(f(None, None), &["  hello \t world ", " "]);
    assert_eq!(seen(&found[0]), (vec![2, 2], vec!["hello", "world", "", ""]));
    assert_eq!(ints(&found[1]), [2, 0]);
    assert_eq!(seen(&go(f(Some(""), Some(1)), &["a b c "])[0]).1, ["a", "b c "]);
    assert_eq!(seen(&go(f(Some("-"), None), &["o-n-x--xn"])[0]).1, ["o", "n", "x", "", "xn"]);
    assert_eq!(go(f(None, None), &[])[0].shape(), Some(&[0, 0][..]));
}

#[test]
fn normalizing() {
    let f = |action: &str, sensitive: i64, stop: &[&str]| {
        Function::new("string_normalizer", 1)
            .with("case_change_action", Text(action.into()))
            .with("is_case_sensitive", Int(sensitive))
            .with("stopwords", Texts(stop.iter().map(|s| (*s).to_owned()).collect()))
    };
    let x = texts(&[1, 3], &["monday", "Tuesday", "Monday"]);
    let go = |f| run(f, &[&x]).unwrap();
    assert_eq!(seen(&go(f("UPPER", 0, &["MONDAY"]))[0]), (vec![1, 1], vec!["TUESDAY"]));
    assert_eq!(seen(&go(f("LOWER", 1, &["monday"]))[0]).1, ["tuesday", "monday"]);
    assert_eq!(seen(&go(f("NONE", 0, &["monday", "tuesday"]))[0]), (vec![1, 1], vec![""]));
    assert!(run(f("NONE", 0, &[]), &[&texts(&[2, 1], &["a", "b"])]).is_err());
}

#[test]
fn numbers_and_texts() {
    let x: Value = Tensor::from_slice(&[5], &[0.1f32, 1e20, -2.0, f32::NAN, f32::NEG_INFINITY]).unwrap().into();
    let written = run(Function::new("cast_to_string", 1), &[&x]).unwrap();
    assert_eq!(seen(&written[0]).1, ["0.1", "100000000000000000000", "-2", "NaN", "-INF"]);
    let read = |to: &str, x: &[&str]| {
        run(Function::new("cast_from_string", 1).with("to", Text(to.into())), &[&texts(&[x.len()], x)])
    };
    let back = read("f32", &seen(&written[0]).1).unwrap();
    assert_eq!(back[0].as_tensor().unwrap().as_slice::<f32>().unwrap()[..3], [0.1, 1e20, -2.0]);
    assert_eq!(
        ints(&read("i64", &["100.5", "9007199254740993", " -3 "]).unwrap()[0]),
        [100, 9_007_199_254_740_993, -3]
    );
    assert_eq!(
        read("f64", &["+INF", "1e-5"]).unwrap()[0].as_tensor().unwrap().as_slice::<f64>().unwrap()[0],
        f64::INFINITY
    );
    assert_eq!(read("bool", &["1", "0"]).unwrap()[0].as_tensor().unwrap().bytes(), [1, 0]);
    assert!(read("f32", &["Hello"]).is_err());
}
