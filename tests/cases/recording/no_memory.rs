//! A recorder that is given no memory more.

use nix::sys::signal::Signal;

use crate::support::{
    Actor, Host, MemoryGroup, Scratch, Trace,
    recording::{replay, word},
    sockwatch,
};

/// Threads that are all there at once.
const THREADS: u32 = 2_000;

#[test]
fn a_recorder_whose_control_group_is_at_its_limit_sees_what_new_threads_do() {
    let Some(host) = Host::alone() else { return };
    let group = MemoryGroup::new();
    if !host.kernel_has("memory controller", group.is_some()) {
        return;
    }
    let Some(group) = group else { return };
    let netns = host.netns();
    let scratch = Scratch::new("memory");
    let file = scratch.path().join("a.sw");
    let recorder = Trace::ready(&mut group.within(&sockwatch(&["record", "-o", word(&file)])));
    let actor = Actor::within(&netns);
    actor.tell(
        "
import threading
threading.stack_size(65536)
gate, done = threading.Event(), threading.Semaphore(0)
def come():
    one = tcp('127.0.0.1')
    one.bind(('127.0.0.1', 0))
    one.close()
    done.release()
    gate.wait()",
    );
    recorder.signal(Signal::SIGSTOP);
    group.leave_nothing();
    actor.tell(&format!("threads = [threading.Thread(target=come) for _ in range({THREADS})]"));
    actor.tell("[thread.start() for thread in threads]; [done.acquire() for _ in threads]");
    actor.tell("gate.set(); [thread.join() for thread in threads]");
    group.leave_everything();
    recorder.signal(Signal::SIGCONT);
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    let run = replay(&file, &["--netns", word(&netns.path())]).expect(0).run();
    assert_eq!(run.sockets.len(), THREADS as usize);
    for socket in &run.sockets {
        run.event(socket, "bind");
    }
}
