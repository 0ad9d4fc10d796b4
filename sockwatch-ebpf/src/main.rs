//! The kernel side of sockwatch: the programs, one file per phase of a socket's life.
#![no_std]
#![no_main]

mod emit;
mod filter;
mod log;
mod maps;
mod memory;
mod programs;
mod sock;
mod task;
mod twin;

/// Some helpers that these programs call are for GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path leads here.
    loop {}
}
