//! Lines for those who debug the programs: `cargo xtask build-ebpf --log`. The shipped object has none of them.

/// Logs a line at debug level, as `aya_log_ebpf::debug!` does with the same arguments. Numbers only: the verifier does
/// not let a pointer be taken apart into bytes. Without the feature `log` nothing is left of it, its arguments included.
macro_rules! debug {
    ($($line:tt)*) => {
        #[cfg(feature = "log")]
        ::aya_log_ebpf::debug!($($line)*);
    };
}

pub(crate) use debug;
