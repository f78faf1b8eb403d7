//! Machine code in a Cranelift module: in memory, to be called, or in an object file.

#![allow(unsafe_code)]

use brolga_runtime::Level;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use target_lexicon::Triple;

use super::{Code, CodegenError, KernelFn, clif};

fn fault(symbol: &str, error: impl std::fmt::Display) -> CodegenError {
    CodegenError::Module { symbol: symbol.into(), detail: error.to_string() }
}

fn kernel_signature(module: &impl Module) -> Signature {
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); 4];
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

/// Defines machine code as a function of a module.
fn define(module: &mut impl Module, name: &str, code: &Code, linkage: Linkage) -> Result<FuncId, CodegenError> {
    let signature = kernel_signature(module);
    let id = module.declare_function(name, linkage, &signature).map_err(|e| fault(name, e))?;
    module.define_function_bytes(id, code.alignment.into(), &code.bytes, &[]).map_err(|e| fault(name, e))?;
    Ok(id)
}

/// Compiled kernels in memory: pages that can be executed and not written. Dropping it frees them.
pub struct JitCode {
    module: Option<JITModule>,
    entries: Vec<KernelFn>,
}

// SAFETY: after `new` nothing changes the module, and `&JitCode` gives out only copies of the function pointers.
unsafe impl Sync for JitCode {}
// SAFETY: the module's memory belongs to no thread.
unsafe impl Send for JitCode {}

impl JitCode {
    /// Copies code, made for a level of this machine, into executable memory.
    pub fn new(level: Level, codes: &[Code]) -> Result<Self, CodegenError> {
        if !level.available() {
            let detail = format!("this machine is not {}", level.requirement());
            return Err(CodegenError::Isa { what: level.to_string(), detail });
        }
        if codes.is_empty() {
            return Ok(JitCode { module: None, entries: Vec::new() });
        }
        let isa = clif::isa(level, Triple::host(), false)?;
        let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
        let room: usize =
            codes.iter().map(|code| code.bytes.len().next_multiple_of(4096) + code.alignment as usize).sum();
        if room == 0 {
            // A program of library calls alone.
            return Ok(JitCode { module: None, entries: Vec::new() });
        }
        let arena = ArenaMemoryProvider::new_with_size(room).map_err(|e| fault("code memory", e))?;
        builder.memory_provider(Box::new(arena));
        // Made before anything can fail, so that failing frees the memory too.
        let mut made = JitCode { module: Some(JITModule::new(builder)), entries: Vec::new() };
        let Some(module) = &mut made.module else { return Ok(made) };
        let mut ids = Vec::with_capacity(codes.len());
        for (at, code) in codes.iter().enumerate() {
            ids.push(define(module, &format!("kernel{at}"), code, Linkage::Local)?);
        }
        module.finalize_definitions().map_err(|e| fault("code memory", e))?;
        made.entries = ids
            .into_iter()
            .map(|id| {
                let address = module.get_finalized_function(id);
                // SAFETY: the address is that of a finished function whose code follows the kernels' ABI.
                unsafe { std::mem::transmute::<*const u8, KernelFn>(address) }
            })
            .collect();
        Ok(made)
    }

    /// Entry points, in the order of the codes. They must not be called once `self` is dropped.
    pub fn entries(&self) -> &[KernelFn] {
        &self.entries
    }
}

impl Drop for JitCode {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: calling an entry point is unsafe and forbidden after this.
            unsafe { module.free_memory() }
        }
    }
}

/// Whether a symbol can be seen from other object files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Only in its object file.
    Local,
    /// In anything it is linked into.
    Global,
}

impl From<Visibility> for Linkage {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Local => Linkage::Local,
            Visibility::Global => Linkage::Export,
        }
    }
}

/// A word of a table in an object file.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// A number.
    Number(u64),
    /// The address of a function.
    Function(FuncId),
    /// The address of data.
    Data(DataId),
}

/// An object file in the making: machine code and data under symbols.
pub struct ObjectCode {
    module: ObjectModule,
}

impl ObjectCode {
    /// An empty object file for a level, in the format of a triple (ELF, Mach-O or COFF).
    pub fn new(level: Level, triple: Triple, name: &str) -> Result<Self, CodegenError> {
        let isa = clif::isa(level, triple, true)?;
        let builder = ObjectBuilder::new(isa, name, default_libcall_names()).map_err(|e| fault(name, e))?;
        Ok(ObjectCode { module: ObjectModule::new(builder) })
    }

    /// Adds a compiled kernel.
    pub fn function(&mut self, name: &str, code: &Code, visibility: Visibility) -> Result<FuncId, CodegenError> {
        define(&mut self.module, name, code, visibility.into())
    }

    /// Adds constant data.
    pub fn data(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        alignment: u64,
        visibility: Visibility,
    ) -> Result<DataId, CodegenError> {
        let declared = self.module.declare_data(name, visibility.into(), false, false);
        let id = declared.map_err(|e: ModuleError| fault(name, e))?;
        let mut description = DataDescription::new();
        description.define(bytes.into_boxed_slice());
        description.set_align(alignment);
        self.module.define_data(id, &description).map_err(|e| fault(name, e))?;
        Ok(id)
    }

    /// Declares a function that another object file has. Only its address can be used.
    pub fn import(&mut self, name: &str) -> Result<FuncId, CodegenError> {
        let signature = self.module.make_signature();
        self.module.declare_function(name, Linkage::Import, &signature).map_err(|e| fault(name, e))
    }

    /// Adds a table of eight-byte words, some of them addresses that the linker fills in.
    pub fn words(&mut self, name: &str, words: &[Word], visibility: Visibility) -> Result<DataId, CodegenError> {
        let declared = self.module.declare_data(name, visibility.into(), false, false);
        let id = declared.map_err(|e: ModuleError| fault(name, e))?;
        let mut description = DataDescription::new();
        let number = |word: &Word| if let Word::Number(number) = word { *number } else { 0 };
        let bytes: Vec<u8> = words.iter().flat_map(|word| number(word).to_le_bytes()).collect();
        description.define(bytes.into_boxed_slice());
        description.set_align(8);
        for (word, offset) in words.iter().zip((0u32..).step_by(8)) {
            match word {
                Word::Number(_) => {}
                Word::Function(function) => {
                    let function = self.module.declare_func_in_data(*function, &mut description);
                    description.write_function_addr(offset, function);
                }
                Word::Data(data) => {
                    let data = self.module.declare_data_in_data(*data, &mut description);
                    description.write_data_addr(offset, data, 0);
                }
            }
        }
        self.module.define_data(id, &description).map_err(|e| fault(name, e))?;
        Ok(id)
    }

    /// The module itself, for functions written in CLIF that call the kernels.
    pub fn module(&mut self) -> &mut ObjectModule {
        &mut self.module
    }

    /// The bytes of the object file.
    pub fn finish(self) -> Result<Vec<u8>, CodegenError> {
        self.module.finish().emit().map_err(|e| fault("object file", e))
    }
}
