//! Made once, and again where it has to be.

use super::*;
use crate::Tensor;
use crate::library::Attribute::Int;
use crate::library::function::find;
use std::cell::Cell;

fn operand(values: &[f32]) -> Value {
    Tensor::from_slice(&[values.len()], values).unwrap().into()
}

#[test]
fn made_once_for_equal_operands() {
    let f = Function::new("conv", 2);
    let makings = Cell::new(0);
    let made = |f: &Function, values: &[f32]| -> usize {
        let (a, b) = (operand(&[9.0]), operand(values));
        let x = Operands::new(vec![Some(a.operand()), Some(b.operand())]);
        let make = || {
            makings.set(makings.get() + 1);
            Ok(x.reals(1)?.len())
        };
        *f.prepare(&x, &[1, 2], make).unwrap()
    };
    assert_eq!((made(&f, &[1.0]), made(&f, &[1.0]), makings.get()), (1, 1, 1));
    assert_eq!((made(&f, &[1.0, 2.0]), made(&f, &[1.0]), makings.get()), (2, 1, 2), "the first is kept");
    assert_eq!((made(&f, &[-0.0]), made(&f, &[0.0]), makings.get()), (1, 1, 4), "bits are compared");
    assert_eq!(f, f.clone());
    assert_eq!((made(&f.clone(), &[1.0]), makings.get()), (1, 5), "a clone begins without");
    let changed = f.with("a", Int(1));
    assert_eq!((made(&changed, &[1.0]), makings.get()), (1, 6), "other attributes, another form");
}

#[test]
fn failures_are_not_kept() {
    let f = Function::new("conv", 0);
    let x = Operands::new(vec![]);
    let refused = LibraryError::Operands { accepted: "nothing" };
    assert_eq!(f.prepare::<u8>(&x, &[], || Err(refused.clone())), Err(refused.clone()));
    assert_eq!(f.prepare(&x, &[], || Ok(7u8)).as_deref(), Ok(&7));
    assert_eq!(f.prepare::<u8>(&x, &[], || Err(refused.clone())).as_deref(), Ok(&7));
    assert!(find(&f.name).is_some());
}

#[test]
fn neither_stored_nor_compared() {
    let f = Function::new("conv", 0).with("a", Int(1));
    f.prepare(&Operands::new(vec![]), &[], || Ok(7u8)).unwrap();
    let read: Function = postcard::from_bytes(&postcard::to_stdvec(&f).unwrap()).unwrap();
    assert_eq!(read, f);
    assert_eq!(format!("{:?} {:?}", f.prepared, read.prepared), "prepared not prepared");
}
