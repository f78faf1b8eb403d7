//! Arrays come back as they were; files of numpy's own making read; damaged ones are errors.

use super::*;
use crate::{read_npz, write_npz};

fn written(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_array(&mut bytes, tensor).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Tensor, String> {
    let read = read_array(&mut &bytes[..], bytes.len() as u64).map_err(|wrong| match wrong {
        Wrong::Io(error) => error.to_string(),
        Wrong::Format(detail) => detail,
    });
    read.map(|value| value.into_tensor().unwrap())
}

#[test]
fn texts_come_back_and_other_orders_of_bytes_read() {
    let read = |bytes: &[u8]| read_array(&mut &bytes[..], bytes.len() as u64);
    let texts = Strings::new(&[2, 2], ["", "a", "ünï", "\u{1F415}"].map(str::to_owned).to_vec()).unwrap();
    let mut bytes = Vec::new();
    write_texts(&mut bytes, &texts).unwrap();
    assert!(matches!(read(&bytes).unwrap(), Value::Strings(back) if back == texts));
    let big = array("{'descr': '>U2', 'fortran_order': False, 'shape': (1,), }\n", &[0, 0, 0, 98, 0, 0, 0, 0]);
    assert!(matches!(read(&big).unwrap(), Value::Strings(back) if back.elements() == ["b"]));
    let surrogate = array("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }\n", &[0, 0xd8, 0, 0]);
    let columns = array("{'descr': '<U1', 'fortran_order': True, 'shape': (1, 1), }\n", &[98, 0, 0, 0]);
    let many = array("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }\n", &[]);
    let short = array("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }\n", &[98, 0, 0, 0]);
    let wide = array("{'descr': '<U99999999999999999999', 'fortran_order': False, 'shape': (1,), }\n", &[98, 0, 0, 0]);
    for damaged in [surrogate, columns, many, short, wide] {
        assert!(matches!(read(&damaged), Err(Wrong::Format(_))));
    }
}

/// An array with a header of the test's choice.
fn array(header: &str, elements: &[u8]) -> Vec<u8> {
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    [MAGIC, &[1, 0][..], &len, header.as_bytes(), elements].concat()
}

#[test]
fn every_type_and_rank_comes_back() {
    let mut cases = 0;
    // Narrower types, for which the format has no name, come back as wider ones.
    let named = |d: &DType| d.is_float() || d.is_integer() || *d == DType::Bool;
    for dtype in DType::ALL.into_iter().filter(|d| named(d) && *d != DType::BF16) {
        for shape in [&[][..], &[0], &[5], &[2, 3], &[1, 4, 1, 3]] {
            let mut tensor = Tensor::zeros(dtype, shape).unwrap();
            tensor.bytes_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i % 2) as u8);
            let bytes = written(&tensor);
            let back = read(&bytes).unwrap();
            assert_eq!((back.dtype(), back.shape(), back.bytes()), (dtype, shape, tensor.bytes()));
            let header = bytes.len() - tensor.bytes().len();
            assert!(header.is_multiple_of(64));
            cases += 1;
        }
    }
    assert_eq!(cases, 60);
    let narrow = Tensor::from_slice(&[2], &[half::bf16::from_f32(1.5), half::bf16::from_f32(-2.0)]).unwrap();
    assert_eq!(read(&written(&narrow)).unwrap().as_slice::<f32>().unwrap(), [1.5, -2.0]);
}

#[test]
fn other_orders_are_put_right() {
    let big = array("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }\n", &[1, 2, 3, 4]);
    assert_eq!(read(&big).unwrap().as_slice::<i16>().unwrap(), [0x102, 0x304]);
    let columns = array("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", &[1, 4, 2, 5, 3, 6]);
    assert_eq!(read(&columns).unwrap().as_slice::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
    let cube: Vec<u8> = (0..24).collect();
    let columns = array("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }\n", &cube);
    assert_eq!(read(&columns).unwrap().as_slice::<u8>().unwrap()[..5], [0, 6, 12, 18, 2]);
    let truth = array("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n", &[0, 1, 7]);
    assert_eq!(read(&truth).unwrap().bytes(), [0, 1, 1]);
}

#[test]
fn damage_and_foreign_kinds_are_errors() {
    let error = |bytes: &[u8]| read(bytes).unwrap_err();
    let header =
        |descr: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    assert!(error(b"PK\x03\x04 and so on").contains("not an .npy array"));
    assert!(error(&array(&header("'|O'", "(1,)"), &[0; 8])).contains("elements of type '|O'"));
    assert!(error(&array(&header("[('a', '<f4')]", "(1,)"), &[0; 4])).contains("records"));
    assert!(error(&array(&header("'<f4'", "(2,)"), &[0; 4])).contains("4 bytes of elements, f32[2]"));
    assert!(error(&array(&header("'<f4'", "(-2,)"), &[0; 4])).contains("not a list of extents"));
    assert!(error(&array(&header("'<f8'", "(4611686018427387904, 16)"), &[0; 8])).contains("needs another number"));
    assert!(error(&array("{}", &[])).contains("no 'descr'"));
    assert!(error(&[MAGIC, &[2, 0, 255, 255, 255, 255][..]].concat()).contains("header of"));
    let good = written(&Tensor::from_slice(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap());
    for len in 0..good.len() {
        assert!(read(&good[..len]).is_err(), "{len}");
    }
}

#[test]
fn archives_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let arrays = vec![
        ("zeta".to_string(), Tensor::from_slice(&[2], &[1f32, 2.0]).unwrap().into()),
        ("in/put:0".to_string(), Tensor::from_bools(&[3], &[true, false, true]).unwrap().into()),
        ("alpha".to_string(), Tensor::scalar(7i64).into()),
    ];
    write_npz(&path, &arrays).unwrap();
    let back = read_npz(&path).unwrap();
    let names: Vec<&str> = back.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["zeta", "in/put:0", "alpha"]);
    for ((_, a), (_, b)) in arrays.iter().zip(&back) {
        let a = a.as_tensor().unwrap();
        assert_eq!((a.dtype(), a.shape(), a.bytes()), (b.dtype(), b.shape(), b.bytes()));
    }
    let whole = std::fs::read(&path).unwrap();
    write_npz(&path, &arrays).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole, "the same arrays give the same bytes");
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(read_npz(&path), Err(ArrayError::Format { .. })), "{cut}");
    }
    let mut damaged = whole;
    damaged[150] ^= 0x55;
    std::fs::write(&path, &damaged).unwrap();
    assert!(read_npz(&path).is_err());
    assert!(matches!(read_npz(&folder.path().join("none.npz")), Err(ArrayError::Io { .. })));
}
