//! `sched_process_exec`: which program a process runs, for those that end before /proc can be read.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use sockwatch_ebpf::{EXEC_PATH, Exec, flag, kind, runner};

use crate::{
    emit::{head, lose, wakeup},
    maps::{EXEC, RING},
    memory::{Memory, Raw, Typed, off},
    task,
};

/// Most components of a path that are read.
const DEEPEST: usize = 24;
/// Longest component that is read, with its zero byte.
const COMPONENT: usize = 64;

/// `void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`, in the process, with its
/// new memory map in place.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec(_ctx: BtfTracePointContext) -> i32 {
    let Some(exec) = EXEC.get_ptr_mut(0) else { return 0 };
    // SAFETY: this processor's own slot; exec runs in process context and does not nest.
    let exec = unsafe { &mut *exec };
    // SAFETY: a helper without preconditions.
    let current = Typed(unsafe { bpf_get_current_task_btf() }.cast_const().cast());
    let file = current.follow(off!(task_mm)).follow(off!(mm_exe));
    exec.head = head(kind::EXEC, 0);
    task::fill_current(&mut exec.task);
    exec.reserved = 0;
    let (len, whole) = path(Raw(file.0), &mut exec.path);
    exec.len = len as u32;
    if !whole {
        exec.head.flags = flag::TRUNCATED;
    }
    // SAFETY: the helper copies the record.
    let sent = unsafe {
        bpf_ringbuf_output(
            core::ptr::from_ref(&RING).cast_mut().cast(),
            core::ptr::from_mut(exec).cast(),
            size_of::<Exec>() as u64,
            wakeup(),
        )
    };
    if sent != 0 {
        lose(runner::FIRST, kind::EXEC);
    }
    0
}

/// Writes a file's path, last component first; returns its length and whether it is whole. Walks up the directory
/// entries, and at the root of a mount goes on from where it is mounted (as `prepend_path` in fs/d_path.c).
#[inline(always)]
fn path(file: Raw, out: &mut [u8; EXEC_PATH]) -> (usize, bool) {
    let mut dentry = file.follow(off!(file_dentry));
    let mut mount = Raw(file.follow(off!(file_mnt)).0.wrapping_byte_sub(off!(mount_mnt) as usize));
    let mut len = 0;
    for _ in 0..DEEPEST {
        let root = mount.follow(off!(mount_mnt).wrapping_add(off!(mnt_root)));
        if dentry.0 == root.0 {
            let above = mount.follow(off!(mount_parent));
            if above.0 == mount.0 || above.0.is_null() {
                return (len, true);
            }
            dentry = mount.follow(off!(mount_point));
            mount = above;
            continue;
        }
        let name = dentry.follow(off!(dentry_name));
        if len > EXEC_PATH - COMPONENT {
            return (len, false);
        }
        // SAFETY: `len` leaves room for a whole component; the helper ends it with a zero byte and returns its length.
        let read =
            unsafe { bpf_probe_read_kernel_str(out.as_mut_ptr().add(len).cast::<c_void>(), COMPONENT as u32, name.0) };
        // A name that fills the room may have been cut.
        if read <= 1 || read >= COMPONENT as i64 {
            return (len, false);
        }
        len += read as usize;
        let above = dentry.follow(off!(dentry_parent));
        if above.0 == dentry.0 {
            return (len, true);
        }
        dentry = above;
    }
    (len, false)
}
