//! Memory: whatever a file says, nothing asks for much at once. (All of it together is what `-rss_limit_mb` is for.)

use std::alloc::{GlobalAlloc, Layout, System};

const MOST: usize = 64 << 20;

struct Room;

#[global_allocator]
static ROOM: Room = Room;

// SAFETY: it is the system's allocator, or the end of the program.
unsafe impl GlobalAlloc for Room {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: what holds for this call holds for that one; so below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        // SAFETY: see above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see above.
        unsafe { System.dealloc(pointer, layout) };
    }
}

fn check(size: usize) {
    if size > MOST {
        eprintln!("{size} bytes are asked for at once");
        std::process::abort();
    }
}
