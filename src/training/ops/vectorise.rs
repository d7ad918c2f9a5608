//! Loops compiled for several vector extensions, the widest of the machine chosen at run time.

use pulp::{Arch, Simd, WithSimd};

/// Evaluates an expression with the machine's vector instructions: its loops are what the compiler
/// vectorises. Functions it calls must be `#[inline(always)]`, since only inlined code is compiled
/// for the extension; so must be the closure here, which is why this is a macro. Work is given to
/// other threads around it, never within.
macro_rules! vectorise {
    ($kernel:expr) => {
        $crate::training::ops::vectorise::dispatch(
            #[inline(always)]
            || $kernel,
        )
    };
}
pub(super) use vectorise;

/// The function behind [`vectorise!`].
pub(super) fn dispatch<R>(kernel: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Kernel(kernel))
}

/// `pulp` takes closures too, but calls them through `FnOnce`. For a closure that could run more
/// than once, that is a wrapper which the compiler is free not to inline.
struct Kernel<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Kernel<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) -> R {
        (self.0)()
    }
}
