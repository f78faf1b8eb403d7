//! A program as an object file that needs no runtime: entry functions in CLIF walk a table of calls.
//!
//! `NAME_worker` is one loop over records of [`RECORD`] bytes: the function, where its operands and arguments begin in two other
//! tables, the extent to divide, and whether all workers meet first. An operand is the number of a base (arena, weights, the
//! worker's scratch, inputs, outputs) and an offset.

use super::{Code, CodegenError, Level, ObjectCode, Visibility, Word};
use brolga_runtime::{Call, Memory, Port, Region, Space, Step};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, FuncRef, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData, StackSlotKind, Value,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataId, FuncId, Linkage, Module};
use target_lexicon::Triple;

/// Bytes of one record of the table of calls.
const RECORD: i64 = 6 * 8;
/// Bases before the inputs: arena, weights, scratch.
const FIXED_BASES: usize = 3;
/// Copies are divided at multiples of this many bytes.
const COPY_LINE: u64 = 128;
/// Parts of the arena begin at multiples of this many bytes.
const ARENA_LINE: u64 = 128;

/// Offsets in the context that the header declares.
const CTX_INPUTS: i32 = 0;
const CTX_OUTPUTS: i32 = 8;
const CTX_ARENA: i32 = 16;
const CTX_BARRIER: i32 = 24;
const CTX_BARRIER_ARG: i32 = 32;
const CTX_BYTES: u32 = 40;

/// A program in parts, to be made freestanding.
pub struct Freestanding<'a> {
    /// Begins every symbol; a C identifier.
    pub name: &'a str,
    /// Inputs in order.
    pub inputs: &'a [Port],
    /// Outputs in order.
    pub outputs: &'a [Port],
    /// Steps in order; none is a library call.
    pub steps: &'a [Step],
    /// Memory plan.
    pub memory: Memory,
    /// Functions in order.
    pub codes: &'a [Code],
    /// Packed weights.
    pub weights: &'a [u8],
}

/// Makes the object file. Its symbols: `NAME_worker`, `NAME_run`, `NAME_input_size`, `NAME_output_size`, `NAME_arena_size`.
pub fn freestanding_object(level: Level, triple: Triple, program: &Freestanding<'_>) -> Result<Vec<u8>, CodegenError> {
    let mut object = ObjectCode::new(level, triple, program.name)?;
    let mut maker =
        Maker { object: &mut object, program, context: Context::new(), builder: FunctionBuilderContext::new() };
    let worker = maker.worker()?;
    maker.run(worker)?;
    maker.sizes("input_size", program.inputs)?;
    maker.sizes("output_size", program.outputs)?;
    maker.arena_size()?;
    object.finish()
}

/// The tables that `NAME_worker` walks.
struct Tables {
    calls: DataId,
    count: usize,
    operands: DataId,
    arguments: DataId,
    most_operands: usize,
}

struct Maker<'a> {
    object: &'a mut ObjectCode,
    program: &'a Freestanding<'a>,
    context: Context,
    builder: FunctionBuilderContext,
}

fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}

impl Maker<'_> {
    fn fault(&self, detail: impl std::fmt::Display) -> CodegenError {
        CodegenError::Module { symbol: self.program.name.into(), detail: detail.to_string() }
    }

    fn symbol(&self, what: &str) -> String {
        format!("{}_{what}", self.program.name)
    }

    fn scratch_stride(&self) -> u64 {
        self.program.memory.scratch_bytes.next_multiple_of(ARENA_LINE)
    }

    fn arena_bytes(&self) -> u64 {
        self.program.memory.arena_bytes.next_multiple_of(ARENA_LINE)
    }

    /// Number of a region's base.
    fn base(&self, region: Region) -> u64 {
        let inputs = FIXED_BASES + self.program.inputs.len();
        match region.space {
            Space::Arena => 0,
            Space::Weights => 1,
            Space::Scratch => 2,
            Space::Input(i) => FIXED_BASES as u64 + u64::from(i),
            Space::Output(i) => inputs as u64 + u64::from(i),
        }
    }

    /// Code, weights and the tables of calls.
    fn tables(&mut self) -> Result<Tables, CodegenError> {
        let mut functions = Vec::with_capacity(self.program.codes.len());
        for (i, code) in self.program.codes.iter().enumerate() {
            let name = self.symbol(&format!("kernel{i}"));
            functions.push(self.object.function(&name, code, Visibility::Local)?);
        }
        let mut copy = None;
        let (mut calls, mut operands, mut arguments) = (Vec::new(), Vec::new(), Vec::new());
        let (mut count, mut most_operands) = (0, 1);
        let program = self.program;
        for step in program.steps {
            for (number, call) in step.calls.iter().enumerate() {
                let meets = count > 0 && meets_before(number.checked_sub(1).and_then(|i| step.calls.get(i)), call);
                let first = (operands.len(), arguments.len());
                let (function, regions, extent) = match call {
                    Call::Kernel { function, operands: regions, args, extent, .. } => {
                        let function = functions.get(*function as usize).copied();
                        arguments.extend(args.iter().map(|arg| Word::Number(*arg as u64)));
                        (
                            function.ok_or_else(|| self.fault("a step calls a function that is not there"))?,
                            regions.clone(),
                            *extent,
                        )
                    }
                    Call::Copy { from, to, bytes } => {
                        arguments.push(Word::Number(*bytes));
                        let function = match copy {
                            Some(function) => function,
                            None => *copy.insert(self.copy()?),
                        };
                        (function, vec![*from, *to], bytes.div_ceil(COPY_LINE))
                    }
                    Call::Library { call, .. } => {
                        return Err(
                            self.fault(format!("`{call}` is a library call, which a freestanding object cannot make"))
                        );
                    }
                };
                for region in &regions {
                    operands.extend([Word::Number(self.base(*region)), Word::Number(region.offset)]);
                }
                most_operands = most_operands.max(regions.len());
                calls.extend([
                    Word::Function(function),
                    Word::Number(first.0 as u64 * 8),
                    Word::Number(regions.len() as u64),
                    Word::Number(first.1 as u64 * 8),
                    Word::Number(extent),
                    Word::Number(u64::from(meets)),
                ]);
                count += 1;
            }
        }
        Ok(Tables {
            calls: self.words("calls", calls)?,
            count,
            operands: self.words("operands", operands)?,
            arguments: self.words("arguments", arguments)?,
            most_operands,
        })
    }

    /// A table; an empty one is a word long, so that it has an address.
    fn words(&mut self, what: &str, mut words: Vec<Word>) -> Result<DataId, CodegenError> {
        if words.is_empty() {
            words.push(Word::Number(0));
        }
        let name = self.symbol(what);
        self.object.words(&name, &words, Visibility::Local)
    }

    /// Defines a function whose body `fill` writes, from its parameters.
    fn define(
        &mut self,
        what: &str,
        linkage: Linkage,
        parameters: usize,
        returns: &[cranelift_codegen::ir::Type],
        fill: impl FnOnce(&mut FunctionBuilder<'_>, &mut ObjectCode, &[Value]),
    ) -> Result<FuncId, CodegenError> {
        let name = self.symbol(what);
        let mut signature = self.object.module().make_signature();
        signature.params = vec![AbiParam::new(I64); parameters];
        signature.returns = returns.iter().map(|ty| AbiParam::new(*ty)).collect();
        let id = self.object.module().declare_function(&name, linkage, &signature).map_err(|e| self.fault(e))?;
        self.context.clear();
        self.context.func.signature = signature;
        let config = self.object.module().target_config();
        let mut builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let parameters = builder.block_params(entry).to_vec();
        fill(&mut builder, self.object, &parameters);
        builder.seal_all_blocks();
        builder.finalize(config);
        let defined = self.object.module().define_function(id, &mut self.context);
        defined.map_err(|e| CodegenError::Cranelift { kernel: name, detail: e.to_string() })?;
        Ok(id)
    }

    /// A kernel that copies lines of its first operand to its second.
    fn copy(&mut self) -> Result<FuncId, CodegenError> {
        let mut signature = self.object.module().make_signature();
        signature.params = vec![AbiParam::new(I64); 3];
        signature.returns = vec![AbiParam::new(I64)];
        let declared = self.object.module().declare_function("memcpy", Linkage::Import, &signature);
        let memcpy = declared.map_err(|e| self.fault(e))?;
        self.define("copy", Linkage::Local, 4, &[I32], |b, object, parameters| {
            let &[bases, arguments, begin, end] = parameters else { return };
            let memcpy = object.module().declare_func_in_func(memcpy, b.func);
            let (from, to) = (b.ins().load(I64, trusted(), bases, 0), b.ins().load(I64, trusted(), bases, 8));
            let bytes = b.ins().load(I64, trusted(), arguments, 0);
            let begin = b.ins().imul_imm_s(begin, COPY_LINE as i64);
            let end = b.ins().imul_imm_s(end, COPY_LINE as i64);
            let beyond = b.ins().icmp(IntCC::UnsignedLessThan, bytes, end);
            let end = b.ins().select(beyond, bytes, end);
            let count = b.ins().isub(end, begin);
            let (from, to) = (b.ins().iadd(from, begin), b.ins().iadd(to, begin));
            b.ins().call(memcpy, &[to, from, count]);
            let done = b.ins().iconst(I32, 0);
            b.ins().return_(&[done]);
        })
    }

    /// `int NAME_worker(struct NAME_context *, size_t worker, size_t workers)`.
    fn worker(&mut self) -> Result<FuncId, CodegenError> {
        let tables = self.tables()?;
        let weights_name = self.symbol("weights");
        let mut weights = self.program.weights.to_vec();
        if weights.is_empty() {
            weights.push(0);
        }
        let weights = self.object.data(&weights_name, weights, 4096, Visibility::Local)?;
        let (inputs, outputs) = (self.program.inputs.len(), self.program.outputs.len());
        let (arena_bytes, stride) = (self.arena_bytes() as i64, self.scratch_stride() as i64);
        self.define("worker", Linkage::Export, 3, &[I32], |b, object, parameters| {
            let &[context, worker, workers] = parameters else { return };
            let (kernel, barrier) = (kernel_signature(object), barrier_signature(object));
            let mut address = |b: &mut FunctionBuilder<'_>, data| {
                let global = object.module().declare_data_in_func(data, b.func);
                b.ins().symbol_value(I64, global)
            };
            let arena = b.ins().load(I64, trusted(), context, CTX_ARENA);
            let scratch = b.ins().imul_imm_s(worker, stride);
            let scratch = b.ins().iadd(scratch, arena);
            let scratch = b.ins().iadd_imm_s(scratch, arena_bytes);
            let bases = slot(b, FIXED_BASES + inputs + outputs);
            let weights = address(b, weights);
            for (i, base) in [arena, weights, scratch].into_iter().enumerate() {
                b.ins().stack_store(I64, base, bases, i as i32 * 8);
            }
            for (field, first, count) in
                [(CTX_INPUTS, FIXED_BASES, inputs), (CTX_OUTPUTS, FIXED_BASES + inputs, outputs)]
            {
                let list = b.ins().load(I64, trusted(), context, field);
                for i in 0..count {
                    let base = b.ins().load(I64, trusted(), list, i as i32 * 8);
                    b.ins().stack_store(I64, base, bases, (first + i) as i32 * 8);
                }
            }
            let walk = Walk {
                context,
                worker,
                workers,
                bases,
                resolved: slot(b, tables.most_operands),
                operands: address(b, tables.operands),
                arguments: address(b, tables.arguments),
                kernel,
                barrier,
            };
            let calls = address(b, tables.calls);
            walk.emit(b, calls, tables.count);
        })
    }

    /// `int NAME_run(const void *const *inputs, void *const *outputs, void *arena)`: worker 0 of 1.
    fn run(&mut self, worker: FuncId) -> Result<FuncId, CodegenError> {
        self.define("run", Linkage::Export, 3, &[I32], |b, object, parameters| {
            let context = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, CTX_BYTES, 3));
            let none = b.ins().iconst(I64, 0);
            let one = b.ins().iconst(I64, 1);
            for (value, offset) in parameters.iter().zip([CTX_INPUTS, CTX_OUTPUTS, CTX_ARENA]) {
                b.ins().stack_store(I64, *value, context, offset);
            }
            for offset in [CTX_BARRIER, CTX_BARRIER_ARG] {
                b.ins().stack_store(I64, none, context, offset);
            }
            let context = b.ins().stack_addr(I64, context, 0);
            let worker: FuncRef = object.module().declare_func_in_func(worker, b.func);
            let call = b.ins().call(worker, &[context, none, one]);
            let code = b.inst_results(call).to_vec();
            b.ins().return_(&code);
        })
    }

    /// `size_t NAME_input_size(size_t)`: bytes of one; 0 for one that does not exist.
    fn sizes(&mut self, what: &str, ports: &[Port]) -> Result<FuncId, CodegenError> {
        let bytes = |port: &Port| port.shape.iter().product::<usize>() as u64 * port.dtype.bytes() as u64;
        let table = self.words(&format!("{what}s"), ports.iter().map(|port| Word::Number(bytes(port))).collect())?;
        let count = ports.len() as i64;
        self.define(what, Linkage::Export, 1, &[I64], |b, object, parameters| {
            let &[index] = parameters else { return };
            let (known, unknown) = (b.create_block(), b.create_block());
            let exists = b.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, count);
            b.ins().brif(exists, known, &[], unknown, &[]);
            b.switch_to_block(known);
            let global = object.module().declare_data_in_func(table, b.func);
            let start = b.ins().symbol_value(I64, global);
            let offset = b.ins().ishl_imm_s(index, 3);
            let at = b.ins().iadd(start, offset);
            let size = b.ins().load(I64, trusted(), at, 0);
            b.ins().return_(&[size]);
            b.switch_to_block(unknown);
            let none = b.ins().iconst(I64, 0);
            b.ins().return_(&[none]);
        })
    }

    /// `size_t NAME_arena_size(size_t workers)`.
    fn arena_size(&mut self) -> Result<FuncId, CodegenError> {
        let (arena, stride) = (self.arena_bytes() as i64, self.scratch_stride() as i64);
        self.define("arena_size", Linkage::Export, 1, &[I64], |b, _, parameters| {
            let &[workers] = parameters else { return };
            let scratch = b.ins().imul_imm_s(workers, stride);
            let size = b.ins().iadd_imm_s(scratch, arena);
            b.ins().return_(&[size]);
        })
    }
}

fn slot(b: &mut FunctionBuilder<'_>, words: usize) -> StackSlot {
    b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, words as u32 * 8, 3))
}

fn kernel_signature(object: &mut ObjectCode) -> Signature {
    let mut signature = object.module().make_signature();
    signature.params = vec![AbiParam::new(I64); 4];
    signature.returns = vec![AbiParam::new(I32)];
    signature
}

fn barrier_signature(object: &mut ObjectCode) -> Signature {
    let mut signature = object.module().make_signature();
    signature.params = vec![AbiParam::new(I64)];
    signature
}

/// What the loop of `NAME_worker` works with.
struct Walk {
    context: Value,
    worker: Value,
    workers: Value,
    bases: StackSlot,
    resolved: StackSlot,
    operands: Value,
    arguments: Value,
    kernel: Signature,
    barrier: Signature,
}

impl Walk {
    /// The loop over the records, and the last meeting.
    fn emit(&self, b: &mut FunctionBuilder<'_>, calls: Value, count: usize) {
        let (record, code) = (b.declare_var(I64), b.declare_var(I32));
        let (head, body, meet, compute, invoke, next, done) = (
            b.create_block(),
            b.create_block(),
            b.create_block(),
            b.create_block(),
            b.create_block(),
            b.create_block(),
            b.create_block(),
        );
        let end = b.ins().iadd_imm_s(calls, count as i64 * RECORD);
        let good = b.ins().iconst(I32, 0);
        b.def_var(record, calls);
        b.def_var(code, good);
        b.ins().jump(head, &[]);

        b.switch_to_block(head);
        let at = b.use_var(record);
        let more = b.ins().icmp(IntCC::UnsignedLessThan, at, end);
        b.ins().brif(more, body, &[], done, &[]);

        b.switch_to_block(body);
        let meets = b.ins().load(I64, trusted(), at, 40);
        b.ins().brif(meets, meet, &[], compute, &[]);
        b.switch_to_block(meet);
        self.meet(b, compute);

        b.switch_to_block(compute);
        let extent = b.ins().load(I64, trusted(), at, 32);
        let begin = self.bound(b, extent, 0);
        let finish = self.bound(b, extent, 1);
        // After a failure the rest is passed by, but every meeting is kept.
        let code_now = b.use_var(code);
        let some = b.ins().icmp(IntCC::UnsignedLessThan, begin, finish);
        let fine = b.ins().icmp_imm_s(IntCC::Equal, code_now, 0);
        let go = b.ins().band(some, fine);
        b.ins().brif(go, invoke, &[], next, &[]);

        b.switch_to_block(invoke);
        if let Some(result) = self.call(b, at, begin, finish) {
            b.def_var(code, result);
        }
        b.ins().jump(next, &[]);

        b.switch_to_block(next);
        let following = b.ins().iadd_imm_s(at, RECORD);
        b.def_var(record, following);
        b.ins().jump(head, &[]);

        b.switch_to_block(done);
        let last = b.create_block();
        self.meet(b, last);
        b.switch_to_block(last);
        let code = b.use_var(code);
        b.ins().return_(&[code]);
    }

    /// Calls the function of a record on a share.
    fn call(&self, b: &mut FunctionBuilder<'_>, record: Value, begin: Value, end: Value) -> Option<Value> {
        self.resolve(b, record);
        let function = b.ins().load(I64, trusted(), record, 0);
        let first = b.ins().load(I64, trusted(), record, 24);
        let arguments = b.ins().iadd(self.arguments, first);
        let operands = b.ins().stack_addr(I64, self.resolved, 0);
        let signature = b.import_signature(self.kernel.clone());
        let call = b.ins().call_indirect(signature, function, &[operands, arguments, begin, end]);
        b.inst_results(call).first().copied()
    }

    /// First item of the share of worker `worker + ahead`.
    fn bound(&self, b: &mut FunctionBuilder<'_>, extent: Value, ahead: i64) -> Value {
        let worker = b.ins().iadd_imm_s(self.worker, ahead);
        let scaled = b.ins().imul(extent, worker);
        b.ins().udiv(scaled, self.workers)
    }

    /// Waits for all workers, when there are several, and goes on at `after`.
    fn meet(&self, b: &mut FunctionBuilder<'_>, after: Block) {
        let wait = b.create_block();
        let several = b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, self.workers, 1);
        b.ins().brif(several, wait, &[], after, &[]);
        b.switch_to_block(wait);
        let barrier = b.ins().load(I64, trusted(), self.context, CTX_BARRIER);
        let argument = b.ins().load(I64, trusted(), self.context, CTX_BARRIER_ARG);
        let signature = b.import_signature(self.barrier.clone());
        b.ins().call_indirect(signature, barrier, &[argument]);
        b.ins().jump(after, &[]);
    }

    /// Writes the addresses of a call's operands.
    fn resolve(&self, b: &mut FunctionBuilder<'_>, record: Value) {
        let number = b.declare_var(I64);
        let (head, body, after) = (b.create_block(), b.create_block(), b.create_block());
        let first = b.ins().load(I64, trusted(), record, 8);
        let operands = b.ins().iadd(self.operands, first);
        let count = b.ins().load(I64, trusted(), record, 16);
        let bases = b.ins().stack_addr(I64, self.bases, 0);
        let resolved = b.ins().stack_addr(I64, self.resolved, 0);
        let zero = b.ins().iconst(I64, 0);
        b.def_var(number, zero);
        b.ins().jump(head, &[]);
        b.switch_to_block(head);
        let i = b.use_var(number);
        let more = b.ins().icmp(IntCC::UnsignedLessThan, i, count);
        b.ins().brif(more, body, &[], after, &[]);
        b.switch_to_block(body);
        let at = b.ins().ishl_imm_s(i, 4);
        let at = b.ins().iadd(operands, at);
        let base = b.ins().load(I64, trusted(), at, 0);
        let offset = b.ins().load(I64, trusted(), at, 8);
        let base = b.ins().ishl_imm_s(base, 3);
        let base = b.ins().iadd(bases, base);
        let base = b.ins().load(I64, MemFlagsData::new().with_notrap(), base, 0);
        let address = b.ins().iadd(base, offset);
        let place = b.ins().ishl_imm_s(i, 3);
        let place = b.ins().iadd(resolved, place);
        b.ins().store(MemFlagsData::new().with_notrap(), address, place, 0);
        let following = b.ins().iadd_imm_s(i, 1);
        b.def_var(number, following);
        b.ins().jump(head, &[]);
        b.switch_to_block(after);
    }
}

/// Whether the workers meet before a call: at the start of a step, and inside one as the runtime has it.
fn meets_before(previous: Option<&Call>, call: &Call) -> bool {
    match (previous, call) {
        (None, _) => true,
        (_, Call::Kernel { barrier_before, .. }) => *barrier_before,
        (Some(Call::Copy { .. }), Call::Copy { .. }) => false,
        _ => true,
    }
}
