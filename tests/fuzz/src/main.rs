//! Feeds the reader what nobody would write, and looks at what it makes of it. `cargo xtask fuzz` builds and runs it.
//!
//! Checksums would keep a fuzzer out: hardly any change of a file gets behind them. So most inputs are no files, but
//! instructions for making one, with checksums that are right.

#![no_main]

mod dice;
mod forge;
mod room;
mod story;
mod street;

use std::{ffi::OsString, sync::LazyLock};

use dice::Dice;

/// Where to write the file that an input makes, for who wants to see what the commands make of a finding.
static FILE: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("SOCKWATCH_FUZZ_FILE"));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, options, rest @ ..] = input else { return };
    let mut dice = Dice::new(rest);
    let file = match how % 3 {
        0 => rest.to_vec(),
        1 => forge::blocks(&mut dice),
        _ => story::file(&mut dice),
    };
    if let Some(path) = &*FILE {
        std::fs::write(path, &file).expect("the file can be written");
    }
    street::walk(&file, *options);
});
