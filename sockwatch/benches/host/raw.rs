//! What the kernel writes into the ring.

use bytes::BufMut;
use sockwatch_ebpf::{family, kind, protocol, state};

fn head(kind: u16) -> Vec<u8> {
    let mut record = Vec::new();
    record.put_u16_ne(kind);
    record.put_u16_ne(0);
    record.put_u32_ne(0);
    record.put_u64_ne(1_000_000_000_000);
    record
}

fn sock(record: &mut Vec<u8>) {
    for number in [77_u64, 1, 0xffff_8880_1234_5000, 0, 0x1077] {
        record.put_u64_ne(number);
    }
    for address in [[127, 0, 0, 1], [127, 0, 0, 1]] {
        record.put_slice(&address);
        record.put_bytes(0, 12);
    }
    for number in [8080, 40_000, family::INET, protocol::TCP] {
        record.put_u16_ne(number);
    }
    record.put_u32_ne(4_026_531_840);
    record.put_u32_ne(state::ESTABLISHED.into());
}

fn task(record: &mut Vec<u8>) {
    record.put_u64_ne(4_001_000_000);
    record.put_u64_ne(1);
    for number in [4001, 4001, 1000, 0] {
        record.put_u32_ne(number);
    }
    record.put_slice(b"client\0\0\0\0\0\0\0\0\0\0");
}

/// A change of state that tells all about a socket.
pub(crate) fn transition() -> Vec<u8> {
    let mut record = head(kind::TRANSITION);
    sock(&mut record);
    task(&mut record);
    record.put_u64_ne(0);
    for number in [u32::from(state::ESTABLISHED), u32::MAX, 160, 0] {
        record.put_u32_ne(number);
    }
    record
}

/// One that tells nothing new but the state.
pub(crate) fn step() -> Vec<u8> {
    let mut record = head(kind::STEP);
    for number in [77_u64, 0xffff_8880_1234_5000, 1] {
        record.put_u64_ne(number);
    }
    record.put_u16_ne(state::ESTABLISHED.into());
    record.put_u16_ne(state::FIN_WAIT1.into());
    record.put_u32_ne(0);
    task(&mut record);
    record
}

/// The last one.
pub(crate) fn close() -> Vec<u8> {
    let mut record = head(kind::CLOSE);
    sock(&mut record);
    task(&mut record);
    record.put_bytes(0, size_of::<sockwatch_ebpf::Stats>());
    record
}
