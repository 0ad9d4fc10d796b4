//! The accept queue of a listener: who waits there, and who left it by a call that was seen or not.

use super::Engine;

impl Engine {
    /// A listener's child is new, or was found: it waits, unless it was accepted before the trace.
    pub(super) fn joins_queue(&mut self, place: usize) {
        let Some(listener) = self.listener_at(place).filter(|&listener| self.known(listener).is_some()) else { return };
        let slot = self.slot(place);
        if slot.life.may_wait() && !slot.queued {
            slot.queued = true;
            self.slot(listener.0).queue += 1;
        }
    }

    /// It was accepted, or is closed.
    pub(super) fn leaves_queue(&mut self, place: usize) {
        if !std::mem::take(&mut self.slot(place).queued) {
            return;
        }
        if let Some(listener) = self.listener_at(place)
            && self.known(listener).is_some()
        {
            self.slot(listener.0).queue -= 1;
        }
    }

    /// An accept of it was seen.
    pub(super) fn accepted(&mut self, place: usize) {
        self.leaves_queue(place);
        if !self.life(place).taken {
            self.count_accepted(place);
        }
    }

    /// A process has it, or has closed it: so it was accepted, maybe by a call that no tracepoint tells of (of io_uring, of a
    /// 32-bit program). By whom is not known. One that existed before the trace may have been accepted before, unless it was
    /// seen to wait.
    pub(super) fn taken(&mut self, place: usize) {
        let life = self.life(place);
        if life.is_waiting_child() {
            life.taken = true;
            self.leaves_queue(place);
            self.count_accepted(place);
        }
    }

    /// A listener is destroyed. What waited in its queue was closed before (`inet_csk_listen_stop`): what is not was accepted.
    pub(super) fn queue_is_over(&mut self, listener: usize) {
        let slot = self.slot(listener);
        if slot.queue == 0 || !slot.life.complete {
            return;
        }
        let number = slot.life.number;
        for place in 0..self.lives.len() {
            if self.lives[place].is_queued_at((listener, number)) {
                self.taken(place);
            }
        }
    }

    fn count_accepted(&mut self, place: usize) {
        if let Some(listener) = self.listener_at(place)
            && self.known(listener).is_some()
        {
            let listener = self.life(listener.0);
            listener.accepted = listener.accepted.saturating_add(1);
        }
    }
}
