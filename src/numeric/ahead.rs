//! Asking memory for what is needed soon.

/// Lines of a cache are this many doubles long.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 8;

/// Asks for numbers that are read or written soon, and does not wait for them. Changes nothing but time.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn ask_ahead(numbers: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in numbers.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and traps nowhere; the address lies within the slice besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}
