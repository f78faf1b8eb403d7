//! Loads and stores: storage formats, the first n lanes, gathers.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value};

use super::{Emit, Lower, flags};
use crate::tile::*;

/// An address and a displacement that an instruction can hold.
type Address = (Value, i32);

impl Lower<'_, '_> {
    pub(super) fn address(&mut self, mem: &Mem) -> Emit<Address> {
        let (pointer, disp) = (self.pointer(mem.pointer)?, self.index(&mem.disp)?);
        // Room for the lanes behind it.
        match i32::try_from(disp) {
            Ok(offset) if offset < i32::MAX - 64 => Ok((pointer, offset)),
            _ => Ok((self.b.ins().iadd_imm_s(pointer, disp), 0)),
        }
    }

    /// One element, widened to 32 bits as an integer.
    fn element(&mut self, (address, offset): Address, storage: Storage, lane: i32) -> Value {
        let offset = offset + lane * storage.bytes() as i32;
        match storage {
            Storage::B32 => self.b.ins().load(I32, flags(), address, offset),
            Storage::U8 => self.b.ins().uload8(I32, flags(), address, offset),
            Storage::I8 => self.b.ins().sload8(I32, flags(), address, offset),
            Storage::I16 => self.b.ins().sload16(I32, flags(), address, offset),
            Storage::U16 | Storage::F16 | Storage::Bf16 => self.b.ins().uload16(I32, flags(), address, offset),
        }
    }

    /// Four elements, each widened to 32 bits as an integer (or floats as they are).
    fn elements(&mut self, (address, offset): Address, storage: Storage) -> Value {
        match storage {
            Storage::B32 => self.b.ins().load(F32X4, flags(), address, offset),
            Storage::I16 => self.b.ins().sload16x4(flags(), address, offset),
            Storage::U16 | Storage::F16 | Storage::Bf16 => self.b.ins().uload16x4(flags(), address, offset),
            Storage::U8 | Storage::I8 => {
                let word = self.b.ins().load(I32, flags(), address, offset);
                let word = self.b.ins().scalar_to_vector(I32X4, word);
                let bytes = self.cast(word, I8X16);
                if storage == Storage::U8 {
                    let halves = self.b.ins().uwiden_low(bytes);
                    self.b.ins().uwiden_low(halves)
                } else {
                    let halves = self.b.ins().swiden_low(bytes);
                    self.b.ins().swiden_low(halves)
                }
            }
        }
    }

    pub(super) fn splat_load(&mut self, mem: &Mem, storage: Storage) -> Emit<Value> {
        let address = self.address(mem)?;
        if storage == Storage::B32 {
            let value = self.b.ins().load(F32, flags(), address.0, address.1);
            return Ok(self.b.ins().splat(F32X4, value));
        }
        let element = self.element(address, storage, 0);
        let splat = self.b.ins().splat(I32X4, element);
        Ok(self.widen(storage, splat))
    }

    pub(super) fn load(&mut self, mem: &Mem, first: Option<ScalarId>, storage: Storage) -> Emit<Value> {
        let address = self.address(mem)?;
        let Some(first) = first else {
            let bits = self.elements(address, storage);
            return Ok(self.widen(storage, bits));
        };
        let count = self.scalar(first)?;
        let zero = self.int_const(0);
        let bits = self.first_lanes(
            count,
            Some(zero),
            |k| Some(k.elements(address, storage)),
            |k, lane, value| {
                let element = k.element(address, storage, lane.into());
                value.map(|value| k.b.ins().insertlane(value, element, lane))
            },
        );
        let bits = bits.ok_or("a load gives no value")?;
        Ok(self.widen(storage, bits))
    }

    pub(super) fn gather(&mut self, mem: &Mem, index: &Operand, first: Option<ScalarId>) -> Emit<Value> {
        let (address, index, zero) = (self.address(mem)?, self.int(index)?, self.int_const(0));
        let lane = |k: &mut Self, lane: u8, value: Option<Value>| {
            let at = k.b.ins().extractlane(index, lane);
            let at = k.b.ins().sextend(I64, at);
            let offset = k.b.ins().ishl_imm_s(at, 2);
            let from = k.b.ins().iadd(address.0, offset);
            let element = k.b.ins().load(I32, flags(), from, address.1);
            value.map(|value| k.b.ins().insertlane(value, element, lane))
        };
        let all = |k: &mut Self| (0..4).try_fold(zero, |value, at| lane(k, at, Some(value)));
        let value = match first {
            None => all(self),
            Some(first) => {
                let count = self.scalar(first)?;
                self.first_lanes(count, Some(zero), all, lane)
            }
        };
        value.ok_or_else(|| "a gather gives no value".into())
    }

    pub(super) fn store(&mut self, mem: &Mem, value: &Operand, first: Option<ScalarId>, storage: Storage) -> Emit<()> {
        let (address, value) = (self.address(mem)?, self.int(value)?);
        let Some(first) = first else {
            self.store_all(address, value, storage);
            return Ok(());
        };
        let count = self.scalar(first)?;
        self.first_lanes(
            count,
            None,
            |k| {
                k.store_all(address, value, storage);
                None
            },
            |k, lane, _| {
                let bits = k.narrow(storage, value);
                let (to, offset) = (address.0, address.1 + i32::from(lane) * storage.bytes() as i32);
                let element = k.b.ins().extractlane(bits, lane);
                match storage.bytes() {
                    1 => k.b.ins().istore8(flags(), element, to, offset),
                    2 => k.b.ins().istore16(flags(), element, to, offset),
                    _ => k.b.ins().store(flags(), element, to, offset),
                };
                None
            },
        );
        Ok(())
    }

    fn store_all(&mut self, (address, offset): Address, value: Value, storage: Storage) {
        let packed = match storage {
            Storage::B32 => value,
            Storage::I16 => self.b.ins().snarrow(value, value),
            Storage::U16 | Storage::F16 | Storage::Bf16 => {
                // The low half of each lane, signed so that packing keeps its bits.
                let bits = self.narrow(storage, value);
                let high = self.shift_by(IntBin::Shl, bits, 16);
                let low = self.shift_by(IntBin::Sar, high, 16);
                self.b.ins().snarrow(low, low)
            }
            Storage::I8 | Storage::U8 => {
                let halves = self.b.ins().snarrow(value, value);
                debug_assert_eq!(self.b.func.dfg.value_type(halves), I16X8);
                if storage == Storage::I8 {
                    self.b.ins().snarrow(halves, halves)
                } else {
                    self.b.ins().unarrow(halves, halves)
                }
            }
        };
        let stored = match storage.bytes() {
            1 => {
                let words = self.cast(packed, I32X4);
                self.b.ins().extractlane(words, 0u8)
            }
            2 => {
                let words = self.cast(packed, I64X2);
                self.b.ins().extractlane(words, 0u8)
            }
            _ => packed,
        };
        self.b.ins().store(flags(), stored, address, offset);
    }

    /// Does something for all lanes, or for lanes `0..count` one by one; a value, if there is one, passes from lane to lane.
    fn first_lanes(
        &mut self,
        count: Value,
        start: Option<Value>,
        all: impl FnOnce(&mut Self) -> Option<Value>,
        one: impl Fn(&mut Self, u8, Option<Value>) -> Option<Value>,
    ) -> Option<Value> {
        let args = |k: &mut Self, value: Option<Value>| -> Vec<BlockArg> {
            value.map(|value| BlockArg::Value(k.cast(value, I32X4))).into_iter().collect()
        };
        let after = self.b.create_block();
        let result = start.map(|_| self.b.append_block_param(after, I32X4));
        let [full, part] = [(); 2].map(|()| self.b.create_block());
        let enough = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, count, 4);
        self.b.ins().brif(enough, full, &[], part, &[]);
        self.b.seal_block(full);
        self.b.seal_block(part);
        self.b.switch_to_block(full);
        let value = all(self);
        let value = args(self, value);
        self.b.ins().jump(after, &value);
        self.b.switch_to_block(part);
        let mut value = start;
        for lane in 0..3u8 {
            let next = self.b.create_block();
            let more = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, count, i64::from(lane));
            let done = args(self, value);
            self.b.ins().brif(more, next, &[], after, &done);
            self.b.seal_block(next);
            self.b.switch_to_block(next);
            value = one(self, lane, value);
        }
        let value = args(self, value);
        self.b.ins().jump(after, &value);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        result
    }
}
