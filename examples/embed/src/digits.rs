//! The functions of the static library that `build.rs` makes, as `digits.h` beside it declares them, and a safe interface.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::{c_int, c_void};

/// Pixels of a picture: 28 rows of 28, each 0 (paper) to 1 (ink).
pub const PIXELS: usize = 28 * 28;

unsafe extern "C" {
    fn digits_run(inputs: *const *const c_void, outputs: *const *mut c_void, arena: *mut c_void) -> c_int;
    fn digits_input_size(index: usize) -> usize;
    fn digits_output_size(index: usize) -> usize;
    fn digits_arena_size(workers: usize) -> usize;
}

/// The model with the memory that it computes in.
pub struct Digits {
    arena: *mut u8,
    layout: Layout,
}

impl Digits {
    /// Memory for one run at a time.
    pub fn new() -> Digits {
        // SAFETY: these functions take any number.
        let (input, output, arena) = unsafe { (digits_input_size(0), digits_output_size(0), digits_arena_size(1)) };
        assert_eq!((input, output), (PIXELS * 4, 10 * 4), "the model takes a picture and gives ten probabilities");
        let layout = Layout::from_size_align(arena.max(1), 64).expect("an arena fits the address space");
        // SAFETY: the layout's size is not 0.
        let arena = unsafe { alloc_zeroed(layout) };
        if arena.is_null() {
            handle_alloc_error(layout);
        }
        Digits { arena, layout }
    }

    /// The probability of each digit.
    pub fn classify(&mut self, picture: &[f32; PIXELS]) -> [f32; 10] {
        let mut probabilities = [0f32; 10];
        let inputs = [picture.as_ptr().cast::<c_void>()];
        let outputs = [probabilities.as_mut_ptr().cast::<c_void>()];
        // SAFETY: the sizes were compared in `new`, the arena is aligned to 64 and as large as asked, and `&mut self` keeps
        // other runs away from it.
        let code = unsafe { digits_run(inputs.as_ptr(), outputs.as_ptr(), self.arena.cast()) };
        assert_eq!(code, 0, "a check of the model does not hold");
        probabilities
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.arena, self.layout) }
    }
}
