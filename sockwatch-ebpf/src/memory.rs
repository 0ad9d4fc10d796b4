//! Reading kernel structs at the offsets that this kernel's BTF gave.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sockwatch_ebpf::Offsets;

/// Filled by the loader before the programs are verified. Frozen then, so that the verifier sees constants.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Offsets = Offsets::NONE;

/// Reads a global that the loader fills, in a way that the compiler can't replace by the value it sees here.
#[inline(always)]
pub(crate) fn frozen<T: Copy>(global: &T) -> T {
    // SAFETY: a plain read of a static.
    unsafe { core::ptr::read_volatile(global) }
}

/// An offset from [`OFFSETS`].
macro_rules! off {
    ($field:ident) => {
        $crate::memory::frozen(&$crate::memory::OFFSETS.$field)
    };
}
pub(crate) use off;

/// Memory of one kernel struct.
pub(crate) trait Memory: Copy {
    /// Reads a scalar; 0 where it can't be read.
    fn read<T: Copy>(self, offset: u32) -> T;
    /// The struct that a pointer member points to.
    fn follow(self, offset: u32) -> Self;
}

/// A pointer whose type the verifier knows (`PTR_TO_BTF_ID`): loaded from directly; the kernel handles faults.
#[derive(Clone, Copy)]
pub(crate) struct Typed(pub(crate) *const c_void);

impl Memory for Typed {
    #[inline(always)]
    fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: the verifier checks the access against the kernel's own types. Volatile keeps loads as written, for
        // the verifier allows none that straddles members.
        unsafe { self.0.byte_add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.read(offset))
    }
}

/// An address whose type the verifier does not know: read through the helper.
#[derive(Clone, Copy)]
pub(crate) struct Raw(pub(crate) *const c_void);

impl Memory for Raw {
    #[inline(always)]
    fn read<T: Copy>(self, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the helper writes `size_of::<T>()` bytes, zeros if it fails; every T here is a plain integer or a raw
        // pointer, valid in every bit pattern.
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                self.0.wrapping_byte_add(offset as usize),
            );
            value.assume_init()
        }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.read(offset))
    }
}

/// Zeros, written a word at a time: left to itself the compiler calls a `memset` that loops over bytes, which costs more
/// than all the rest of a program.
#[inline(always)]
pub(crate) fn clear<T>(value: &mut MaybeUninit<T>) -> &mut T {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let words: *mut u64 = value.as_mut_ptr().cast();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: within the value, and aligned as the assertion says.
        unsafe { words.add(word).write_volatile(0) };
    }
    // SAFETY: every T here is integers and arrays of them, for which zeros are valid.
    unsafe { value.assume_init_mut() }
}

/// As [`clear`], for a value that is there already.
#[inline(always)]
pub(crate) fn wipe<T>(value: &mut T) {
    // SAFETY: a place for a T may be seen as one that needs not hold one; `clear` leaves a valid one.
    clear(unsafe { &mut *core::ptr::from_mut(value).cast::<MaybeUninit<T>>() });
}
