//! Functions compiled for the widest registers there are, chosen when they are called: the one place of the rooms of
//! numbers with `unsafe` for it, in what the macro writes.
//!
//! The arithmetic is written once, in lanes of a fixed width and without fused multiply-adds (the compiler never fuses by
//! itself): wide registers only carry more lanes at a time, and every twin gives the same bits. Bodies are plain `for` loops: a closure is compiled as a
//! function of its own, without the wide registers.

/// Makes the function under the widest registers there are. All twins give the same bits.
macro_rules! widest {
    ($(#[$doc:meta])* $access:vis fn $name:ident $(<$kind:ident: $bound:ident>)? ($($arg:ident: $type:ty),*) = $body:ident) => {
        $(#[$doc])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $access fn $name $(<$kind: $bound>)? ($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn with_avx512 $(<$kind: $bound>)? ($($arg: $type),*) {
                    $body($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn with_avx2 $(<$kind: $bound>)? ($($arg: $type),*) {
                    $body($($arg),*);
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor was just asked.
                    return unsafe { with_avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor was just asked.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $body($($arg),*);
        }
    };
}

pub(crate) use widest;
