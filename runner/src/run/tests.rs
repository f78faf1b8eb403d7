//! Runs as the command line asks for them, on something that only sums.

use super::*;
use image::{GrayImage, Luma};
use std::path::PathBuf;

/// Gives its first input's ten first values as scores, and the sum of every input.
struct Sums(Vec<PortInfo>);

impl Runnable for Sums {
    fn inputs(&self) -> Vec<PortInfo> {
        self.0.clone()
    }
    fn outputs(&self) -> Vec<String> {
        vec!["scores".into(), "sum".into()]
    }
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let inputs = crate::tensors(inputs)?;
        let first = inputs[0].as_slice::<f32>().unwrap();
        let sum: f32 = inputs.iter().flat_map(|t| t.as_slice::<f32>().unwrap()).sum();
        Ok(vec![
            Tensor::from_slice(&[1, 4], &first[..4]).unwrap().into(),
            Tensor::from_slice(&[1], &[sum]).unwrap().into(),
        ])
    }
}

fn port(name: &str, dims: &[Dim]) -> PortInfo {
    PortInfo { name: name.into(), dtype: DType::F32, dims: Some(dims.to_vec()) }
}

fn known(extents: &[usize]) -> Vec<Dim> {
    extents.iter().map(|extent| Dim::Known(*extent)).collect()
}

fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.into())
}

fn texts(ports: Vec<PortInfo>, args: &RunArgs) -> Result<(String, String), Failure> {
    let (mut out, mut notices) = (Vec::new(), Vec::new());
    execute(&Sums(ports), args, &mut out, &mut notices)?;
    Ok((String::from_utf8(out).unwrap(), String::from_utf8(notices).unwrap()))
}

fn saved(folder: &Path, name: &str, tensor: &Tensor) -> PathBuf {
    let path = folder.join(name);
    crate::write_npy(&path, tensor).unwrap();
    path
}

#[test]
fn repeated_runs_are_timed() {
    let args = RunArgs { repeat: 3, ..RunArgs::default() };
    let (out, _) = texts(vec![port("x", &known(&[1, 8]))], &args).unwrap();
    assert!(out.lines().any(|line| line.starts_with("repeated: runs 3, min_ms ")), "{out}");
}

#[test]
fn random_inputs_repeat_with_their_seed() {
    let ports = || vec![port("x", &[symbol("batch"), Dim::Known(8)])];
    let run = |seed| texts(ports(), &RunArgs { seed, ..RunArgs::default() }).unwrap();
    let (out, notices) = run(7);
    assert_eq!(run(7).0, out);
    assert_ne!(run(8).0, out);
    assert_eq!(notices, "notice: `batch` of input `x` is 1\nnotice: input `x` is random, seed 7\n");
}

#[test]
fn arrays_by_name_and_outputs_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let x = Tensor::from_slice(&[1, 4], &[1f32, 2.0, 3.0, 4.0]).unwrap();
    let y = Tensor::from_slice(&[2], &[10f32, 20.0]).unwrap();
    let archive = folder.path().join("in.npz");
    write_npz(&archive, &[("y".to_string(), y.into())]).unwrap();
    let args = RunArgs {
        inputs: Some(archive),
        input: vec![format!("x={}", saved(folder.path(), "x.npy", &x).display())],
        outputs: Some(folder.path().join("out.npz")),
        ..RunArgs::default()
    };
    let ports = vec![port("x", &known(&[1, 4])), port("y", &[symbol("n")])];
    assert_eq!(texts(ports, &args).unwrap(), (String::new(), String::new()));
    let outputs = crate::read_npz(args.outputs.as_deref().unwrap()).unwrap();
    assert_eq!(outputs[0].0, "scores");
    assert_eq!(outputs[1].1.as_slice::<f32>().unwrap(), [40.0]);
}

#[test]
fn wrong_arrays_say_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let x = saved(folder.path(), "x.npy", &Tensor::from_slice(&[3], &[1f32, 2.0, 3.0]).unwrap());
    let error = |ports, input: Vec<String>| texts(ports, &RunArgs { input, ..RunArgs::default() }).unwrap_err();
    let ports = || vec![port("a", &known(&[4])), port("b", &[symbol("n")])];
    let unknown = error(ports(), vec![format!("c={}", x.display())]);
    assert_eq!(unknown.message, "the model has no input `c`; its inputs are a (f32[4]), b (f32[n])");
    assert_eq!(unknown.code, ExitCode::Usage);
    assert_eq!(error(ports(), vec![format!("a={}", x.display())]).message, "f32[3] was given for the input a (f32[4])");
    let twice = vec![format!("b={}", x.display()), format!("b={}", x.display())];
    assert_eq!(error(ports(), twice).message, "input `b` is given twice");
    assert_eq!(error(ports(), vec!["a".into()]).code, ExitCode::Usage);
    assert_eq!(error(ports(), vec!["a=/none.npy".into()]).code, ExitCode::Machine);
    let unbound = error(vec![port("a", &[Dim::Known(1), symbol("height")])], Vec::new());
    assert_eq!(unbound.message, "dimension `height` of input a (f32[1, height]) needs a value: --dim height=N");
    let two = vec![port("a", &[symbol("n"), symbol("n")])];
    let square = saved(folder.path(), "s.npy", &Tensor::zeros(DType::F32, &[2, 3]).unwrap());
    assert!(error(two, vec![format!("a={}", square.display())]).message.contains("two values, 2 and 3"));
}

#[test]
fn pictures_run_one_by_one_and_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..2u8)
        .map(|i| {
            let path = folder.path().join(format!("{i}.png"));
            GrayImage::from_fn(2, 2, |x, _| Luma([if x == u32::from(i) { 255 } else { 0 }])).save(&path).unwrap();
            path
        })
        .collect();
    let labels = folder.path().join("labels.txt");
    std::fs::write(&labels, "zero\none\n").unwrap();
    let args = RunArgs { image: files.clone(), labels: Some(labels), ..RunArgs::default() };
    let ports = vec![port("x", &[symbol("n"), Dim::Known(1), Dim::Known(2), Dim::Known(2)])];
    let (out, _) = texts(ports.clone(), &args).unwrap();
    assert!(
        out.starts_with(&format!("{}\n@@\n@@\nscores: f32[1, 4]\n      0   36.55 %  zero\n", files[0].display())),
        "{out}"
    );
    assert!(out.contains(&format!("{}\n  @@\n  @@\n", files[1].display())), "{out}");
    let args = RunArgs { outputs: Some(folder.path().join("o.npz")), ..args };
    texts(ports, &args).unwrap();
    let outputs = crate::read_npz(args.outputs.as_deref().unwrap()).unwrap();
    assert_eq!(outputs[0].1.as_slice::<f32>().unwrap(), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    let three = vec![port("x", &known(&[3, 1, 2, 2]))];
    assert!(texts(three, &args).unwrap_err().message.contains("takes 3 pictures at once, 2 were given"));
    let none = vec![port("x", &known(&[1, 784]))];
    assert!(texts(none, &args).unwrap_err().message.contains("no input takes pictures"));
}
